"""Lists of messages in JSON, as VNTextPatch, GalTransl, msg-tool and SExtractor write them.

- `[{"name": "灯", "message": "「おはよう」"}, {"names": ["灯", "茜"], "message": …}, {"message": …}]`;
- GalTransl's cache, whose records have `pre_src` or `pre_jp` and translations in several states;
- SExtractor's `{original: translation}`, `[name, message, message, …]` and `[{name: …, message: …}, …]`.

Translations also come as folders side by side, `jp/01.json` and `cn/01.json` with the same file names; see
`dataset_builder.language_names.by_language`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dataset_builder.alignment import align
from dataset_builder.dumps import dump_line, head_text, second_language
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.errors import ScriptError
from dataset_builder.json_files import read_json, strings
from dataset_builder.language_names import by_language
from dataset_builder.lines import clean_name
from dataset_builder.name_lines import known_names, with_names
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile

NAME = "message-json"
TITLE = "Messages in JSON (VNTextPatch, GalTransl, msg-tool, SExtractor)"

# The first of these that a record has is its text; `post_…` has been through GalTransl's replacements.
_ORIGINALS = ("message", "pre_src", "pre_jp", "post_src", "post_jp")
# From the best state of a translation to the rawest.
_TRANSLATIONS = (
    "proofread_dst", "proofread_zh", "post_dst_preview", "post_zh_preview", "pre_dst", "pre_zh",
)  # fmt: skip
_CACHE = re.compile(r'"(?:pre|post)_(?:src|jp)"\s*:')
_MESSAGE = re.compile(r'"message"\s*:\s*(?:"|null)')
_WIDE_FIRST = re.compile(
    r'\s*(?:\[\s*|\[?\s*\{\s*)"[^"\\]*[\u3041-\u30ff\u3400-\u9fff\uff01-\uff60][^"\\]*"\s*[:,\]]'
)


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".json"):
        return 0.0
    text = head_text(head).lstrip()
    if text.startswith("["):
        if _CACHE.search(text):
            return 0.95
        if _MESSAGE.search(text):
            return 0.9
    elif not text.startswith("{"):
        return 0.0
    return 0.7 if _WIDE_FIRST.match(text) else 0.05


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """One scene a file; files of several languages that belong together are one."""
    known = known_names(options.names)
    partners: dict[str, dict[str, ScriptFile]] = {}  # the original's name -> languages of its group
    originals = []
    for group in by_language(files):
        language = next((each for each in (options.language, "ja") if each in group), next(iter(group)))
        originals.append(group[language])
        partners[group[language].name] = {language: group[language], **group}
    return read_each(
        originals, options, losses, lambda file: _read(file, partners[file.name], options, known, losses)
    )


class _Record(NamedTuple):
    at: str  # path in the file
    name: str  # "" for none
    plate: str  # what is shown for it
    speakers: tuple[str, ...]  # () where `name` says it
    text: str
    translation: str  # "" for none


def _read(
    file: ScriptFile,
    group: dict[str, ScriptFile],
    options: ReadOptions,
    known: dict[str, str],
    losses: Losses,
) -> Iterator[Scene]:
    language, *others = group
    records = _records(file, options, known, losses)
    translations = _own_translations(records, options)
    for other in others:
        try:
            theirs = _records(group[other], options, known, losses)
        except ScriptError as error:
            if not options.lenient:
                raise
            losses.skip("file cannot be read")
            losses.warn(group[other].name, str(error))
        else:
            for ours, at in _paired(file, records, group[other], theirs, losses):
                translations.setdefault(ours, {})[other] = theirs[at].text
    scene = Scene(options.work, file.name, "", language=language or options.language)
    for at, record in enumerate(records):
        line = dump_line(
            len(scene.lines),
            record.name,
            record.text,
            translations.get(at, {}),
            Source(file.name, 0, record.at),
            losses,
            display=record.plate if record.plate != record.name else None,
            speakers=record.speakers,
        )
        if line is not None:
            scene.lines.append(line)
    losses.emit(len(scene.lines))
    if scene.lines:
        yield scene


def _own_translations(records: Sequence[_Record], options: ReadOptions) -> dict[int, dict[str, str]]:
    """Those that stand in the file itself, by the record's index."""
    own = {at: record.translation for at, record in enumerate(records) if record.translation}
    language = options.translation or second_language(
        (records[at].text, translation) for at, translation in own.items()
    )
    return {at: {language: translation} for at, translation in own.items()}


def _paired(
    file: ScriptFile,
    records: Sequence[_Record],
    other: ScriptFile,
    theirs: Sequence[_Record],
    losses: Losses,
) -> list[tuple[int, int]]:
    pairs = align(
        [(record.name != "", len(record.text)) for record in records],
        [(record.name != "", len(record.text)) for record in theirs],
    )
    if len(records) != len(theirs):
        losses.warn(
            other.name,
            f"{len(theirs)} messages and not {len(records)} as `{file.name}`; {len(pairs)} are paired",
        )
    if missing := len(theirs) - len(pairs):
        losses.skip("translation without its original", missing)
    return pairs


def _records(file: ScriptFile, options: ReadOptions, known: dict[str, str], losses: Losses) -> list[_Record]:
    """What the file says, in order. Raises `ScriptError`."""
    document = read_json(file, options.encoding)
    if isinstance(document, dict):
        document = [{original: translation} for original, translation in document.items()]
    if not isinstance(document, list):
        raise ScriptError(file.name, 0, "it is no list of messages")
    if any(isinstance(entry, dict) and any(key in entry for key in _ORIGINALS) for entry in document[:50]):
        return list(_messages(document, losses))
    return list(_texts(document, options, known, losses))


def _messages(document: Sequence[Any], losses: Losses) -> Iterator[_Record]:
    for at, entry in enumerate(document):
        if not isinstance(entry, dict):
            losses.skip("not a message")
            continue
        text = entry.get("message")
        translation = ""
        if not isinstance(text, str):
            text = next((entry[key] for key in _ORIGINALS if isinstance(entry.get(key), str)), None)
            if text is None:
                losses.skip("no text")
                continue
            translation = next(
                (entry[key] for key in _TRANSLATIONS if entry.get(key) and isinstance(entry[key], str)), ""
            )
        name = entry.get("name")
        if isinstance(name, str):
            yield _Record(str(at), name, name, (), text, translation)
            continue
        names = strings(name) or strings(entry.get("names"))
        if len(names) < 2:
            name = names[0] if names else ""
            yield _Record(str(at), name, name, (), text, translation)
        else:
            speakers = tuple(map(clean_name, names))
            name = "＆".join(speakers)
            yield _Record(str(at), name, name, speakers, text, translation)


def _texts(
    document: Sequence[Any], options: ReadOptions, known: dict[str, str], losses: Losses
) -> Iterator[_Record]:
    """SExtractor's lists, whose names are entries as texts are, unless name and message share an object."""
    together = any(isinstance(entry, dict) and len(entry) == 2 for entry in document)
    paths: list[str] = []
    originals: list[str] = []
    translations: list[str] = []
    names: list[str] = []
    for at, entry in enumerate(document):
        if isinstance(entry, str):
            entry = {entry: ""}
        elif not isinstance(entry, dict):
            losses.skip("not a message")
            continue
        texts = list(entry.items())
        name = texts.pop(0)[0] if together and len(texts) == 2 else ""
        for original, translation in texts:
            paths.append(str(at))
            originals.append(original)
            translations.append(translation if isinstance(translation, str) else "")
            names.append(name)
    if together:
        for path, name, original, translation in zip(paths, names, originals, translations, strict=True):
            yield _Record(path, name, name, (), original, translation)
        return
    for at, speaker, plate in with_names(originals, translations, known, options.name_after, losses):
        yield _Record(paths[at], speaker, plate, (), originals[at], translations[at])
