"""Scenes as readers give them, made ready: borders, replays, choruses, languages.

What a reader cannot know, because it sees one file at a time, is done here with the whole work in sight.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dataset_builder.languages import guess_all
from dataset_builder.lines import clean_name
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Scene

GAP = 8  # lines of narration on end, after which a file without borders of its own begins another scene
ENOUGH = 40  # letters that tell a language
REPLAY = 4  # lines: a shorter scene may well be said twice
_BETWEEN = ("・", "·", "•")


def tidy(scenes: Iterable[Scene], losses: Losses, *, gap: int = GAP) -> list[Scene]:
    """All scenes of a work, ready for use. `gap` 0 splits nothing."""
    found = [part for scene in scenes for part in split_at_gaps(scene, gap)]
    found = _without_replays(found, losses)
    _split_choruses(found)
    _name_languages(found)
    return found


def split_at_gaps(scene: Scene, gap: int) -> Iterator[Scene]:
    """Scenes of a file whose format has no borders: a long stretch in which nobody speaks opens a new one."""
    if scene.scene or not gap:
        yield scene
        return
    starts, quiet = [0], 0
    for at, line in enumerate(scene.lines):
        if line.kind in ("narration", "title"):
            quiet = quiet + 1 if not line.branch else 0
            continue
        if quiet >= gap and not line.branch and at - quiet > starts[-1]:
            starts.append(at - quiet)
        quiet = 0
    if len(starts) == 1:
        yield scene
        return
    names = [str(number) for number in range(1, len(starts) + 1)]
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(scene.lines)], strict=True)):
        lines = scene.lines[start:end]
        for index, line in enumerate(lines):
            line.index = index
        last = number == len(starts) - 1
        yield replace(
            scene,
            scene=names[number],
            lines=lines,
            choices=scene.choices if last else [],
            next=scene.next if last else [names[number + 1]],
        )


def _without_replays(scenes: list[Scene], losses: Losses) -> list[Scene]:
    """The first of scenes that say the same: replay files and folders of patches repeat whole scenes."""
    seen: dict[bytes, Scene] = {}
    kept = []
    now: dict[tuple[str, str], Scene] = {}  # the place of a scene that is dropped -> the one that stays
    for scene in scenes:
        if len(scene.lines) >= REPLAY:
            said = "\0".join(f"{line.speaker}\1{line.text}" for line in scene.lines)
            content = hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=16).digest()
            if (first := seen.get(content)) is not None:
                for line, again in zip(first.lines, scene.lines, strict=True):
                    line.translations = again.translations | line.translations
                now[scene.file, scene.scene] = first
                losses.emitted -= len(scene.lines)
                losses.skipped["said before (a replay or a patch)"] += len(scene.lines)
                continue
            seen[content] = scene
        kept.append(scene)
    for scene in kept if now else ():
        scene.next = [_redirected(scene, name, now) for name in scene.next]
        for choice in scene.choices:
            choice.target = _redirected(scene, choice.target, now)
    return kept


def _redirected(scene: Scene, name: str, now: dict[tuple[str, str], Scene]) -> str:
    file, _, label = name.rpartition("#")
    found = now.get((file or scene.file, label)) if name else None
    if found is None:
        return name
    return found.scene if found.file == scene.file else f"{found.file}#{found.scene}"


def _split_choruses(scenes: Sequence[Scene]) -> None:
    """`森海友·加藤准太` is two people if both speak elsewhere too, and one foreign name otherwise."""
    known = {name for scene in scenes for line in scene.lines for name in line.speakers}
    parts: dict[str, tuple[str, ...]] = {}
    for name in known:
        for mark in _BETWEEN:
            halves = tuple(map(clean_name, name.split(mark)))
            if len(halves) > 1 and known.issuperset(halves):
                parts[name] = halves
    if not parts:
        return
    for scene in scenes:
        for line in scene.lines:
            if len(line.speakers) == 1 and line.speakers[0] in parts:
                line.speakers = parts[line.speakers[0]]


def _name_languages(scenes: Sequence[Scene]) -> None:
    """A scene's language by its own words, or by those of the work where it has few."""
    if all(scene.language for scene in scenes):
        return
    whole = guess_all(line.text for scene in scenes if not scene.language for line in scene.lines)
    for scene in scenes:
        if not scene.language:
            letters = sum(len(line.text) for line in scene.lines)
            own = guess_all(line.text for line in scene.lines) if letters > ENOUGH else ""
            scene.language = own or whole


def speech(scenes: Iterable[Scene]) -> Iterator[Line]:
    """All that is said aloud by somebody."""
    for scene in scenes:
        for line in scene.lines:
            if line.kind == "speech" and line.speaker:
                yield line
