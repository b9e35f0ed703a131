"""A character's dialogues out of scenes: what was said to her, and what she answered.

A scene may have alternatives (`Line.branch`), so it is first laid out as plays, each a sequence that somebody
could have read; every line of hers is answered in one play only. Narration and the player's choices are kept
as context, other people keep their names, and windows end between two exchanges and never inside one.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from dataset_builder.errors import DatasetError
from dataset_builder.languages import tokens
from dataset_builder.lines import is_mask
from dataset_builder.schema import Dialogue, Line, Scene, Turn, Utterance

_ENDS = frozenset("。！？!?…」』）)♪♥～~—.,，、；;：:")


@dataclass(frozen=True)
class DialogueOptions:
    """How dialogues are cut. Sizes are in tokens, as `dataset_builder.languages.tokens` counts them."""

    aliases: tuple[str, ...] = ()  # other names of the character
    window: int = 1024  # of a dialogue: an exchange that would not fit begins the next one
    said: int = 384  # of what stands before one answer: the oldest of it is left out
    context: int = 6  # utterances of the window before that a dialogue remembers
    narration: bool = True
    thoughts: bool = True  # hers, kept apart from what she says


@dataclass(slots=True)
class Tally:
    """What became of the character's lines."""

    lines: int = 0  # speech of hers
    answered: int = 0  # in a turn
    chorus: int = 0  # said with others, so nobody's own
    thoughts: int = 0
    trimmed: int = 0  # utterances before an answer that were too far back
    speakers: Counter[str] = field(default_factory=Counter)  # whom she talks with

    def as_dict(self) -> dict[str, Any]:
        """For JSON: those whom she talks with most come first."""
        speakers = sorted(self.speakers.items(), key=lambda item: (-item[1], item[0]))
        counts = {
            name: getattr(self, name) for name in ("lines", "answered", "chorus", "thoughts", "trimmed")
        }
        return counts | {"speakers": dict(speakers)}


def count_speakers(scenes: Iterable[Scene]) -> Counter[str]:
    """Lines of speech and thought by speaker; a chorus counts for everybody in it."""
    counts: Counter[str] = Counter()
    for scene in scenes:
        for line in scene.lines:
            if line.kind in ("speech", "thought"):
                counts.update(line.speakers)
    return counts


def find_speaker(name: str, counts: Counter[str]) -> str:
    """The speaker of that name. Raises `DatasetError`, which names those who speak most."""
    if counts[name]:
        return name
    close = [known for known in counts if name.casefold() in known.casefold() or known in name]
    likely = sorted(close or counts, key=lambda known: (-counts[known], known))[:12]
    listed = ", ".join(f"`{known}` ({counts[known]})" for known in likely) or "nobody"
    raise DatasetError(
        f"nobody called `{name}` speaks; {'alike' if close else 'those who speak most'}: {listed}"
    )


def dialogues(
    scenes: Sequence[Scene],
    character: str,
    options: DialogueOptions = DialogueOptions(),
    tally: Tally | None = None,
) -> Iterator[Dialogue]:
    """Her dialogues, in the order of the scenes. Raises `DatasetError` if she never speaks."""
    counts = count_speakers(scenes)
    hers = frozenset((character, *options.aliases))
    if not any(counts[name] for name in hers):
        find_speaker(character, counts)
    tally = tally if tally is not None else Tally()
    leading = _choices_leading_to(scenes)
    for scene in scenes:
        before = leading.get((scene.file, scene.scene), ())
        for play, fresh in plays(scene.lines):
            yield from _of_play(scene, play, fresh, hers, character, options, tally, before)


def plays(lines: Sequence[Line]) -> Iterator[tuple[list[Line], int]]:
    """Sequences that somebody could have read, each with the index of its first line that no earlier one had.

    `1.1` and `1.2` are arms of one fork: the second begins anew where the fork began. No play holds two arms
    of a fork.
    """
    play: list[Line] = []
    fresh = 0
    starts: dict[str, int] = {}  # fork -> how much had been read when it began
    read: dict[str, str] = {}  # fork -> the arm of it that is in the play
    for line in lines:
        steps = line.branch.split("/") if line.branch else []
        above: list[str] = []
        for depth, step in enumerate(steps):
            arm = "/".join(steps[: depth + 1])
            fork = arm.removesuffix(step) + step.rpartition(".")[0]
            if read.get(fork, arm) != arm:
                if len(play) > fresh:
                    yield play, fresh
                start = starts[fork]
                play = play[:start]
                fresh = start
                for other in [
                    each for each, at in starts.items() if at >= start and each not in (*above, fork)
                ]:
                    del starts[other], read[other]
            starts.setdefault(fork, len(play))
            read[fork] = arm
            above.append(fork)
        play.append(line)
    if len(play) > fresh:
        yield play, fresh


def _choices_leading_to(scenes: Sequence[Scene]) -> dict[tuple[str, str], tuple[Utterance, ...]]:
    """The player's choice in front of a scene that one choice alone leads to."""
    leading: dict[tuple[str, str], list[Utterance]] = {}
    for scene in scenes:
        for choice in scene.choices:
            if choice.target and choice.text:
                file, _, label = choice.target.rpartition("#")
                leading.setdefault((file or scene.file, label), []).append(
                    Utterance("choice", None, choice.text)
                )
    return {place: tuple(said) for place, said in leading.items() if len(said) == 1}


def _of_play(
    scene: Scene,
    play: Sequence[Line],
    fresh: int,
    hers: frozenset[str],
    character: str,
    options: DialogueOptions,
    tally: Tally,
    before: tuple[Utterance, ...],
) -> Iterator[Dialogue]:
    said, thought, context = _before(play, fresh, hers, options, before)
    tail = deque(context, options.context)
    branches = {line.index: line.branch for line in play[fresh:]}
    turns: list[Turn] = []
    size = 0

    def finished() -> Dialogue:
        found = Dialogue(
            character=character,
            turns=tuple(turns),
            work=scene.work,
            file=scene.file,
            scene=scene.scene,
            branch=branches[turns[-1].lines[0]],
            language=scene.language,
            context=context,
        )
        return replace(found, id=hashlib.sha256(orjson.dumps(found)).hexdigest()[:16])

    for turn in _turns(play[fresh:], said, thought, hers, options, tally):
        length = sum(tokens(each.text) for each in turn.said) + tokens(turn.answered)
        if turns and size + length > options.window:
            yield finished()
            context = tuple(tail)
            turns, size = [], 0
        turns.append(turn)
        size += length
        tail.extend((*turn.said, Utterance("speech", character, turn.answered, turn.translations)))
    if turns:
        yield finished()


def _before(
    play: Sequence[Line],
    fresh: int,
    hers: frozenset[str],
    options: DialogueOptions,
    before: tuple[Utterance, ...],
) -> tuple[list[Utterance], list[str], tuple[Utterance, ...]]:
    """What was read in an earlier play: what is still to be answered, her thoughts since, and the context.

    What she has answered there is not answered again. Only as much is looked at as is needed.
    """
    said: list[Utterance] = []
    thought: list[str] = []
    at, size = fresh, 0
    while at > 0 and size <= options.said and not _aloud(play[at - 1], hers):
        at -= 1
        line = play[at]
        if _alone(line, hers):
            thought += [line.text] if options.thoughts and line.text else []
        elif _told(line, options):
            said.append(_utterance(line, hers))
            size += tokens(line.text)
    context: list[Utterance] = []
    for line in reversed(play[max(at - 4 * options.context, 0) : at]):
        if _aloud(line, hers) or (not _alone(line, hers) and _told(line, options)):
            context.append(_utterance(line, hers))
    said += before if at == 0 else ()
    return said[::-1], thought[::-1], tuple(context[: options.context][::-1])


def _alone(line: Line, hers: frozenset[str]) -> bool:
    """Whether she says or thinks it, and nobody with her."""
    return (
        line.kind in ("speech", "thought")
        and len(line.speakers) <= 1
        and (line.speaker in hers or not hers.isdisjoint(line.speakers))
    )


def _aloud(line: Line, hers: frozenset[str]) -> bool:
    return line.kind == "speech" and bool(line.text) and _alone(line, hers)


def _told(line: Line, options: DialogueOptions) -> bool:
    """Whether a line of somebody else's is kept as context."""
    return bool(line.text) and (line.kind != "narration" or options.narration) and line.kind != "title"


def _utterance(line: Line, hers: frozenset[str]) -> Utterance:
    masked = line.speaker is None or is_mask(line.speaker)
    name = line.display_name if masked else line.speaker
    if len(line.speakers) > 1 and not hers.isdisjoint(line.speakers):  # she hears only the others
        name = "、".join(each for each in line.speakers if each not in hers) or name
    return Utterance(line.kind, name, line.text, line.translations)


def _turns(
    lines: Sequence[Line],
    said: list[Utterance],
    thought: list[str],
    hers: frozenset[str],
    options: DialogueOptions,
    tally: Tally,
) -> Iterator[Turn]:
    """Her answers in `lines`, each with what came since the one before; `said` and `thought` came first."""
    answer: list[Line] = []
    for line in lines:
        if not line.text:
            continue
        alone = _alone(line, hers)
        if alone and line.kind == "speech":
            tally.lines += 1
            answer.append(line)
        elif alone:
            tally.thoughts += 1
            if options.thoughts:
                thought.append(line.text)
        else:
            tally.chorus += not hers.isdisjoint(line.speakers)
            if not _told(line, options):
                continue
            if answer:
                yield _turn(said, answer, thought, options, tally)
                said, answer, thought = [], [], []
            said.append(_utterance(line, hers))
    if answer:
        yield _turn(said, answer, thought, options, tally)


def _turn(
    said: list[Utterance], answer: list[Line], thought: list[str], options: DialogueOptions, tally: Tally
) -> Turn:
    tally.answered += len(answer)
    tally.speakers.update(each.speaker for each in said if each.speaker)
    return Turn(
        said=_trimmed(said, options.said, tally),
        answered=_joined([line.text for line in answer]),
        translations={
            language: _joined([line.translations[language] for line in answer])
            for language in answer[0].translations
            if all(language in line.translations for line in answer)
        },
        thought=_joined(thought),
        lines=tuple(line.index for line in answer),
    )


def _trimmed(said: list[Utterance], limit: int, tally: Tally) -> tuple[Utterance, ...]:
    """The end of what was said, at most `limit` tokens, and one utterance at least."""
    size, first = 0, len(said)
    while first > 0 and (size := size + tokens(said[first - 1].text)) <= limit:
        first -= 1
    first = min(first, max(len(said) - 1, 0))
    tally.trimmed += first
    return tuple(said[first:])


def _joined(texts: Sequence[str]) -> str:
    """Lines of one person one after another, in one message: nothing is lost, and each keeps its end."""
    whole = ""
    for text in texts:
        if whole and whole[-1] not in _ENDS:
            whole += "。" if ord(whole[-1]) > 0x2E7F else "."
        if whole and whole[-1].isascii() and text[:1].isascii():
            whole += " "
        whole += text
    return whole
