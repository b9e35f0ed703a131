"""A trace as a person reads it in a terminal, and as JSON."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from bot.learned import Origin
from bot.ratings import votes_table
from bot.scripts import ScriptLine
from bot.trace import Behind, NearRow, Prompt, Trace
from bot.versions import evaluation, evaluation_line

_SHOWN_WORDS = 8
_MEASURE = "BM25 over the words of her answers, rare ones counting more"


def as_json(trace: Trace) -> str:
    """All of it, one object."""

    def plain(value: Any) -> Any:
        return value.as_posix() if isinstance(value, Path) else value.model_dump(mode="json")

    whole = asdict(trace)
    for behind, found in zip(trace.behind, whole["behind"], strict=True):
        found["sources"] = [asdict(source) | {"rows": len(source.rows)} for source in behind.sources]
        found["lineage"] = [
            {**ancestor.model_dump(), "folder": folder.folder if folder else None}
            for ancestor, folder in behind.lineage
        ]
        found["evaluation"] = evaluation_line(evaluation(behind.version.folder) or {})
        found["measure"] = _MEASURE
    return orjson.dumps(whole, plain, orjson.OPT_INDENT_2).decode()


def draw(trace: Trace, console: Console) -> None:
    """Section by section, from the reply back to the script."""
    record = trace.record
    _head(console, f"reply {record['reply']}")
    if trace.expired:
        _line(console, "", "the memory has let go of it; this is what the files of feedback say", "yellow")
    _line(console, "said", _moment(record["time"]) + f" on {record['platform']}")
    _line(console, "text", record.get("text") or "(not kept: not everybody had said yes to training)")
    for number, candidate in enumerate(record.get("candidates", ()), 1):
        reward = candidate.get("reward")
        _line(
            console,
            f"not shown {number}",
            candidate["text"] + (f"  (reward {reward:.2f})" if reward is not None else ""),
        )
    _line(console, "version", record["version"])
    _line(console, "base", record.get("base") or "(not recorded)")
    _line(console, "weights", f"sha256 {record['sha256']}" if record.get("sha256") else "(not recorded)")
    _line(console, "release arm", _arm(record))
    _line(console, "drawn with", _sampling(record))
    _line(console, "took", _took(record))
    _line(console, "software", record.get("software") or "(not recorded)")
    _line(console, "may train", "yes" if record.get("consent") else "no")
    _draw_prompt(trace.prompt, console)
    _head(console, "votes")
    if trace.opinions:
        console.print(votes_table(trace.opinions))
    else:
        console.print("nobody has voted on it")
    if not trace.behind:
        _head(console, "the version")
        console.print(
            f"no folder of `{record['version']}` with these weights is on this machine",
            style="yellow",
            markup=False,
        )
    if len(trace.behind) > 1:
        console.print(
            f"`{record['version']}` was trained on {len(trace.behind)} bases, and the record does not say "
            "which of them spoke:",
            style="yellow",
        )
    for behind in trace.behind:
        _draw_version(behind, console)


def _draw_prompt(prompt: Prompt, console: Console) -> None:
    _head(console, "the prompt")
    _line(console, "hash", prompt.hash)
    _line(console, "memory", f"turns before it: {', '.join(prompt.turns) or 'none'}")
    if prompt.wrong:
        _line(console, "", f"cannot be shown as it was: {prompt.wrong}", "yellow")
    else:
        _line(
            console, "", "written again from the record: it is the one that was sent, to the letter", "green"
        )
    if not prompt.wrong:
        for message in prompt.messages:
            console.print(Text(f"  [{message.role}]", style="bold"))
            console.print(Text("\n".join(f"    {line}" for line in message.content.splitlines())))


def _draw_version(behind: Behind, console: Console) -> None:
    version = behind.version
    manifest = version.manifest
    _head(console, f"the version: {version.name} on {version.base}")
    _line(console, "folder", str(version.folder))
    _line(console, "weights", f"sha256 {manifest.sha256}")
    _line(console, "stage", manifest.stage or "(not recorded)")
    trained = (manifest.model_extra or {}).get("trained", {})  # what the first versions said instead
    if manifest.config or trained:
        _line(console, "config", _flat(manifest.config or _numbers(trained)))
    for ancestor, folder in behind.lineage:
        gone = "" if folder else "; its folder is not here"
        _line(
            console,
            "on top of",
            f"{ancestor.name} ({ancestor.stage or 'first'}, sha256 {ancestor.sha256[:12]}…{gone})",
        )
    _line(console, "root", f"{version.base}, the base model")
    _line(console, "evaluation", evaluation_line(evaluation(version.folder) or {}) or "(none beside it)")
    for source in behind.sources:
        file = source.file
        about = f"{file.path}: {file.rows:,} rows, sha256 {file.sha256[:12]}…, {source.state}"
        if source.held_out:
            about += f"; {source.held_out:,} rows only measured it"
        if source.unreadable:
            about += f"; {source.unreadable:,} lines are no rows"
        _line(console, f"learned, {source.version}", about, "" if source.state == "as it was" else "yellow")
        if source.state == "changed since":
            _line(
                console,
                "",
                "some of its rows may be newer than the version, and some that it learned be gone",
                "yellow",
            )
    _head(console, "the nearest of what she learned")
    console.print(f"({_MEASURE}; near is no cause: nobody can tell which rows made a reply)", style="dim")
    for near in behind.nearest:
        _draw_row(near, console)
    if not behind.nearest:
        console.print("nothing that she learned shares a word with it")


def _draw_row(near: NearRow, console: Console) -> None:
    row = near.row
    console.print(
        Text(f"  {near.near.score:5.2f}  {row.path}:{row.line}", style="bold")
        + Text(f"  row {row.id}, {row.kind}")
    )
    if near.answer and row.chat[near.answer - 1].role == "user":
        console.print(Text(f"         they: {_flat_text(row.chat[near.answer - 1].content)}"))
    console.print(Text(f"         she:  {_flat_text(row.chat[near.answer].content)}"))
    console.print(Text(f"         in common: {', '.join(near.near.shared[:_SHOWN_WORDS])}", style="dim"))
    if row.origin:
        console.print(Text(f"         script: {_place(row.origin, near.lines)}", style="cyan"))
        for line in near.lines:
            if line.text:
                console.print(Text(f"           {_where(line)}  {_flat_text(line.text)}", style="cyan"))


def _place(origin: Origin, lines: tuple[ScriptLine, ...]) -> str:
    place = " › ".join(part for part in (origin.work, origin.file, origin.scene) if part)
    if not lines:
        return f"{place} (which lines of the scene is not known here)"
    indexes = ", ".join(str(line.index) for line in lines)
    return f"{place}, {'lines' if len(lines) > 1 else 'line'} {indexes} of the scene"


def _where(line: ScriptLine) -> str:
    return f"{line.file}:{line.number or line.path}"


def _arm(record: dict[str, Any]) -> str:
    arm = record.get("arm")
    return f"{arm}, with probability {record.get('probability', 1.0):g}" if arm else "none: no trial was on"


def _sampling(record: dict[str, Any]) -> str:
    return (
        ", ".join(f"{name} {value:g}" for name, value in record.get("sampling", {}).items())
        + f", seed {record.get('seed')}"
    )


def _took(record: dict[str, Any]) -> str:
    return (
        f"{record.get('total_ms', 0):,.0f} ms, {record.get('first_token_ms', 0):,.0f} to the first token; "
        f"{record.get('prompt_tokens', 0):,} tokens read ({record.get('cached_tokens', 0):,} cached), "
        f"{record.get('completion_tokens', 0):,} written; ended by {record.get('finish_reason') or '?'}"
    )


def _numbers(trained: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in trained.items() if isinstance(value, int | float)}


def _flat(config: dict[str, Any], above: str = "") -> str:
    """`lora.rank 8, seed 7`; what is unset is left out."""
    parts = []
    for name, value in config.items():
        if isinstance(value, dict):
            parts.append(_flat(value, f"{above}{name}."))
        elif value not in (None, "", [], ()):
            parts.append(f"{above}{name} {value}")
    return ", ".join(part for part in parts if part)


def _flat_text(text: str) -> str:
    return " ".join(text.split())


def _moment(time: float) -> str:
    return f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M:%S}"


def _head(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold underline"))


def _line(console: Console, name: str, text: str, style: str = "") -> None:
    console.print(Text(f"{name:<12} ", style="bold") + Text(text, style=style))
