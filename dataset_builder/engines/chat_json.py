"""Conversations in JSON, in a list or one a line: ShareGPT's and OpenAI's.

- ShareGPT: `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}`;
- OpenAI: `{"messages": [{"role": "user", "name": "冬弥", "content": …}, {"role": "assistant", …}]}`.

Each conversation is a scene. Who speaks is a message's `name`, or its role where it has none. System prompts
and calls of tools are no lines and are counted.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dataset_builder.dumps import head_text
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.errors import ScriptError
from dataset_builder.json_files import read_json, read_json_lines
from dataset_builder.lines import spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile

NAME = "chat-json"
TITLE = "Conversations in JSON (ShareGPT, OpenAI)"

_CHAT = re.compile(r'"(?:conversations|messages)"\s*:\s*\[')
_ENDINGS = (".json", ".jsonl", ".ndjson")
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_SILENT = {
    "system": "system prompt", "developer": "system prompt", "tool": "message of a tool",
    "function": "message of a tool", "observation": "message of a tool", "function_call": "message of a tool",
}  # fmt: skip


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(_ENDINGS):
        return 0.0
    text = head_text(head).lstrip()
    if not text.startswith(("{", "[")):
        return 0.0
    return 0.9 if _CHAT.search(text) else 0.05


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    return read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    if file.name.lower().endswith(".json"):
        document = read_json(file, options.encoding)
        records: Iterable[tuple[int, Any]] = ((0, each) for each in _list(document))
    else:
        records = read_json_lines(file, options.encoding, losses)
    found = False
    taken: set[str] = set()
    for at, (line, record) in enumerate(records):
        messages = _messages(record)
        if messages is None:
            losses.skip("no conversation")
            continue
        found = True
        name = _name(record, at)
        while name in taken:
            name = f"{name} ({at})"
        taken.add(name)
        scene = Scene(options.work, file.name, name, language=options.language)
        for index, message in enumerate(messages):
            path = f"{at}/{index}" if not line else str(index)
            _add(scene, message, Source(file.name, line, path), losses)
        losses.emit(len(scene.lines))
        if scene.lines:
            yield scene
    if not found:
        raise ScriptError(file.name, 0, "it holds no conversation: no `messages` and no `conversations`")


def _list(document: Any) -> list[Any]:
    """One conversation may stand alone, as an object or as a bare list of messages."""
    bare = isinstance(document, list) and any(
        isinstance(each, dict) and ("role" in each or "from" in each) for each in document[:3]
    )
    return document if isinstance(document, list) and not bare else [document]


def _messages(record: Any) -> list[Any] | None:
    if isinstance(record, dict):
        record = next((record[key] for key in ("messages", "conversations") if key in record), None)
    return record if isinstance(record, list) else None


def _name(record: Any, at: int) -> str:
    """The conversation's id, or its place in the file."""
    given = record.get("id") if isinstance(record, dict) else None
    return str(given)[:100] if isinstance(given, str | int) and given != "" else str(at)


def _add(scene: Scene, message: Any, source: Source, losses: Losses) -> None:
    if not isinstance(message, dict):
        losses.skip("not a message")
        return
    role, name = message.get("role", message.get("from")), message.get("name")
    content = message.get("content", message.get("value"))
    if isinstance(content, list):  # OpenAI's parts, of which some are pictures
        parts = (part.get("text") for part in content if isinstance(part, dict))
        content = "\n".join(part for part in parts if isinstance(part, str))
    if not isinstance(role, str) or not isinstance(content, str):
        losses.skip("no text")
    elif (silent := _SILENT.get(role.lower())) is not None:
        losses.skip(silent)
    elif not content.strip():
        losses.skip("empty text")
    else:
        speaker = name if isinstance(name, str) and name else _ROLES.get(role.lower(), role)
        scene.lines.append(spoken(len(scene.lines), speaker, content, content, source))
