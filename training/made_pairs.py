"""Pairs made from a character's dialogues: her own line against a reply that is wrong in one known way.

The way is the pair's `kind`: another speaker's line, the base model's own reply, an assistant's, hers to
another prompt, one cut off, one that repeats itself, one in another language. Wrong replies are about as long
as hers, or length alone would tell them apart.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dataset_builder.schema import Message
from inference.characters import Character, load_character
from inference.errors import CharacterError
from inference.progress import say
from inference.prompt import LANGUAGES
from training.config import Paths, Section, Share
from training.data import Row, read_rows, split
from training.errors import ConfigError
from training.pairs import Conversation, Judged, Preference, read_feedback

PROBES = Path(__file__).parent / "probes"
NEAR = 4  # candidates of which the one most like hers in length is taken
SHARES = {
    "other": 0.2,
    "base": 0.2,
    "assistant": 0.2,
    "shuffled": 0.2,
    "truncated": 0.05,
    "repeated": 0.05,
    "language": 0.1,
}

Speak = Callable[[Sequence[Conversation]], list[str]]
"""The bare base model's replies to conversations."""


def laid_over(defaults: Mapping[str, float], given: Any) -> Any:
    """Given numbers by name over the default ones: naming one leaves the others as they are."""
    return {**defaults, **given} if isinstance(given, Mapping) else given


class PairsConfig(Section):
    """Which replies are better than which."""

    data: Paths = ()
    """Files of preferences and votes; see `training/pairs.py` for their rows."""
    dialogues: Paths = ()
    """Her own lines, which pairs are made from; unset: her `dialogues.jsonl`."""
    others: Paths = ()
    """Rows of other speakers of her language; unset: the characters beside her who speak it."""
    made: Annotated[int, Field(ge=0)] = 600
    """How many pairs are made from what is learned; 0: only `data` counts."""
    unseen: Annotated[int, Field(ge=0)] = 200
    """How many are made from held-out dialogues, to measure with."""
    shares: Annotated[dict[str, Share], BeforeValidator(partial(laid_over, SHARES))] = SHARES
    """Of the made pairs, by what is wrong with the rejected reply: another speaker's line, the base model's
    own reply, an assistant's, hers to another prompt, one cut off, one that repeats, one in another
    language. Those that are not named keep their share."""
    held_out: Share = 0.1
    """Share of the dialogues that is not learned. The same as in `sft` holds out the same ones."""


@dataclass
class Pairs:
    """Learned and held-out rows, and the files that they came from."""

    learned: list[Preference] = field(default_factory=list)
    held_out: list[Preference] = field(default_factory=list)
    votes: list[Judged] = field(default_factory=list)
    held_out_votes: list[Judged] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """What she was asked, and her own answer."""

    prompt: Conversation
    reply: str


@dataclass(frozen=True)
class Foils:
    """What wrong replies are made of: lines of others in her language, answers of an assistant, lines in
    other languages, and her own lines."""

    language: str
    others: Sequence[str] = ()
    answers: Sequence[str] = ()
    foreign: Sequence[str] = ()
    own: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    text: str

    @property
    def id(self) -> str:
        return sha256(self.text.encode()).hexdigest()[:16]


def gather(config: PairsConfig, character: Character, seed: int, speak: Speak) -> Pairs:
    """All pairs and votes that a stage learns from or measures with; no dialogue is on both sides.

    Raises `TrainingError`.
    """
    if unknown := set(config.shares) - set(MADE):
        raise ConfigError(
            f"`pairs.shares`: no pairs of the kind `{min(unknown)}` can be made, but {', '.join(MADE)}"
        )
    pairs = Pairs(files=list(config.data))
    rows = [row for path in config.data for row in read_feedback(path, character)]
    learned, unseen = split(rows, config.held_out, seed)
    for side, given, votes in (
        (learned, pairs.learned, pairs.votes),
        (unseen, pairs.held_out, pairs.held_out_votes),
    ):
        given += [row for row in side if isinstance(row, Preference)]
        votes += [row for row in side if isinstance(row, Judged)]
    if config.made or config.unseen:
        _add_made(pairs, config, character, seed, speak)
    return pairs


def _add_made(pairs: Pairs, config: PairsConfig, character: Character, seed: int, speak: Speak) -> None:
    paths = config.dialogues or (character.folder / "dialogues.jsonl",)
    pairs.files += [*paths, *config.others]
    rows = split([row for path in paths for row in read_rows(path, character)], config.held_out, seed)
    foils = _foils(config, character, seed)
    sides = ((pairs.learned, config.made), (pairs.held_out, config.unseen))
    for (pairs_of, count), side, wrong in zip(sides, rows, foils, strict=True):
        asked = asked_of(side)
        wrong = replace(wrong, own=[one.reply for one in asked])
        made = make_pairs(asked, wrong, config.shares, count, seed, speak)
        missing = {kind for kind, share in config.shares.items() if share} - {pair.kind for pair in made}
        if count and missing:
            say(f"no pairs of these kinds could be made: {', '.join(sorted(missing))}")
        pairs_of += made


def _foils(config: PairsConfig, character: Character, seed: int) -> tuple[Foils, Foils]:
    """What wrong replies are made of, for what is learned and for what is held out."""
    others = [line for path in config.others for line in _answers(path, character)]
    foreign = [line for each in LANGUAGES if each != character.language for line in _general(each)]
    for other in _beside(character):
        lines = _answers(other.folder / "dialogues.jsonl", other)
        if other.language != character.language:
            foreign += lines
        elif not config.others:
            others += lines
    kinds = [others, _general(character.language), foreign]
    halves = [split([_Line(text) for text in texts], config.held_out, seed) for texts in kinds]
    learned, unseen = ([[line.text for line in half] for half in side] for side in zip(*halves, strict=True))
    return Foils(character.language, *learned), Foils(character.language, *unseen)


def _beside(character: Character) -> Iterator[Character]:
    """The characters that live in the same folder and have lines."""
    for path in sorted(character.folder.absolute().parent.glob("*/dialogues.jsonl")):
        if path.parent.name == character.id:
            continue
        try:
            yield load_character(path.parent)
        except CharacterError:
            continue  # a folder that is no character has nothing to say


def _general(language: str) -> list[str]:
    path = PROBES / f"replay.{language}.jsonl"
    return _answers(path) if path.is_file() else []


def _answers(path: Path, character: Character | None = None) -> list[str]:
    return [answer for row in read_rows(path, character) for answer in row.answers]


# --- wrong replies -----------------------------------------------------------------------------------


def asked_of(rows: Sequence[Row]) -> list[Asked]:
    """Every answer of the rows, with what stands before it."""
    return [Asked(row.messages[:at], row.messages[at].content) for row in rows for at in row.learned]


def make_pairs(
    asked: Sequence[Asked],
    foils: Foils,
    shares: Mapping[str, float],
    count: int,
    seed: int,
    speak: Speak,
) -> list[Preference]:
    """At most `count` pairs, of each kind by its share; fewer where a kind has nothing to be made of.

    The same arguments give the same pairs. `speak` is asked once, for all that the base must say.
    """
    total = sum(shares.values())
    pairs: list[Preference] = []
    open_: list[tuple[Asked, str, Conversation]] = []  # what the base is to be asked, and for which kind
    for kind, share in shares.items():
        order = random.Random(f"{seed}:{kind}")
        wanted = round(count * share / total) if total else 0
        for at, one in enumerate(_drawn(asked, wanted, order)):
            if kind == "base":
                open_.append((one, kind, one.prompt if at % 2 else _without_card(one.prompt)))
            elif kind == "other" and (at % 2 or not foils.others):
                stranger = order.choice(_probes("strangers")[foils.language])
                card = Message(role="system", content=stranger)
                open_.append((one, kind, (card, *_without_card(one.prompt))))
            elif (wrong := _MAKERS[kind](one, foils, order)) is not None:
                pairs.append(Preference(one.prompt, one.reply, wrong, kind))
    replies = speak([conversation for _, _, conversation in open_]) if open_ else []
    for (one, kind, _), reply in zip(open_, replies, strict=True):
        pairs.append(Preference(one.prompt, one.reply, reply, kind))
    unique = {(pair.prompt, pair.chosen, pair.rejected): pair for pair in pairs}.values()
    return [pair for pair in unique if pair.rejected.strip() and not _same(pair.chosen, pair.rejected)]


def _drawn(asked: Sequence[Asked], count: int, order: random.Random) -> list[Asked]:
    drawn: list[Asked] = []
    while asked and len(drawn) < count:
        drawn += order.sample(list(asked), min(len(asked), count - len(drawn)))
    return drawn


def _without_card(prompt: Conversation) -> Conversation:
    return prompt[1:] if prompt[0].role == "system" else prompt


def _same(left: str, right: str) -> bool:
    return re.sub(r"\W", "", left).casefold() == re.sub(r"\W", "", right).casefold()


def _near(one: Asked, candidates: Sequence[str], order: random.Random) -> str | None:
    """One of `candidates`, about as long as her own answer."""
    if not candidates:
        return None
    drawn = order.sample(candidates, min(NEAR, len(candidates)))
    return min(drawn, key=lambda each: abs(len(each) - len(one.reply)))


def _other(one: Asked, foils: Foils, order: random.Random) -> str | None:
    return _near(one, foils.others, order)


def _foreign(one: Asked, foils: Foils, order: random.Random) -> str | None:
    return _near(one, foils.foreign, order)


def _shuffled(one: Asked, foils: Foils, order: random.Random) -> str | None:
    return _near(one, foils.own, order)


def _assistant(one: Asked, foils: Foils, order: random.Random) -> str | None:
    """An assistant's way to begin, a part of some answer of its, and its way to end; not always all three."""
    frames = _probes("assistant_frames")[foils.language]
    blank = "" if foils.language in ("zh", "ja") else " "

    def reply() -> str:
        opening, closing = order.choice(frames["openings"]), order.choice(frames["closings"])
        answer = _sentences(_near(one, foils.answers, order) or "", len(one.reply) - len(opening))
        shapes = ((opening, answer, closing), (opening, answer), (answer, closing), (opening, closing))
        return blank.join(part for part in order.choice(shapes) if part)

    return _near(one, [reply() for _ in range(NEAR)], order)


def _sentences(text: str, length: int) -> str:
    """As many of the first sentences as are about `length` letters, one at least."""
    found = ""
    for sentence in re.findall(r".+?(?:[.!?](?=\s|$)|[。！？]|$)", text.replace("\n", " ")):
        if found and len(found) + len(sentence) > length:
            break
        found += sentence
    return found.strip()


def _truncated(one: Asked, foils: Foils, order: random.Random) -> str | None:
    if len(one.reply) < 12:
        return None
    return one.reply[: round(len(one.reply) * order.uniform(0.3, 0.7))].rstrip(" .,!?;:。，！？；：…—-")


def _repeated(one: Asked, foils: Foils, order: random.Random) -> str | None:
    """Her answer that does not get on: its first sentence, or its last words, again and again."""
    blank = "" if foils.language in ("zh", "ja") else " "
    if order.random() < 0.5:
        return blank.join([_sentences(one.reply, 1)] * order.randint(3, 4))
    words = one.reply.split() if blank else list(one.reply)
    end = blank.join(words[-order.randint(2, 5) :])
    return blank.join([one.reply, *[end] * order.randint(2, 5)])


_MAKERS: Mapping[str, Callable[[Asked, Foils, random.Random], str | None]] = {
    "other": _other,
    "assistant": _assistant,
    "shuffled": _shuffled,
    "truncated": _truncated,
    "repeated": _repeated,
    "language": _foreign,
}
MADE = ("base", *_MAKERS)


@cache
def _probes(name: str) -> Any:
    return json.loads((PROBES / f"{name}.json").read_text(encoding="utf-8"))
