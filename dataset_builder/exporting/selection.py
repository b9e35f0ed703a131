"""Which rows a data set has: dialogues rendered, duplicates taken out, scenes split, languages balanced."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import orjson

from dataset_builder.exporting.exchanges import exchanges, heard, languages_of
from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.near_duplicates import near_duplicates
from dataset_builder.exporting.splits import SPLITS, Split, assign, fraction, groups
from dataset_builder.schema import Dialogue
from inference.characters import Character
from inference.prompt import LANGUAGES, training_row

Languages = tuple[str, ...] | Literal["bilingual"]


def render(
    dialogues: Iterable[Dialogue],
    character: Character,
    languages: Languages,
    left_out: Counter[str],
    *,
    thoughts: bool = False,
) -> Iterator[Row]:
    """A row for each dialogue and language: its own (`()`), all it has (`bilingual`), or those named."""
    for dialogue in dialogues:
        name = dialogue.id or hashlib.sha256(orjson.dumps(dialogue)).hexdigest()[:16]
        has = languages_of(dialogue)
        for language in has if languages == "bilingual" else languages or has[:1]:
            turns = exchanges(dialogue, language, thoughts=thoughts)
            if not turns:
                left_out["no answer" if language == has[0] else f"not wholly in `{language}`"] += 1
                continue
            yield Row(
                messages=training_row(speaking(character, language), turns).messages,
                dialogue=name,
                language=language,
                character=dialogue.character,
                work=dialogue.work,
                file=dialogue.file,
                scene=dialogue.scene,
                speakers=tuple(
                    each.speaker
                    for said in heard(dialogue, thoughts=thoughts)
                    for each in said
                    if each.speaker
                ),
            )


def speaking(character: Character, language: str) -> Character:
    """The character with the words around her card in `language`, where `inference.prompt` has them."""
    spoken = language.partition("-")[0].casefold()
    if spoken == character.language or spoken not in LANGUAGES:
        return character
    ours = character.card.extensions.chatnvl.model_copy(update={"language": spoken})
    extensions = character.card.extensions.model_copy(update={"chatnvl": ours})
    return character.model_copy(update={"card": character.card.model_copy(update={"extensions": extensions})})


def without_duplicates(rows: Sequence[Row], threshold: float, seed: int, left_out: Counter[str]) -> list[Row]:
    """The rows that say something of their own; a system prompt, which all share, does not count."""
    first = {row.text: row for row in reversed(rows)}
    distinct = [row for row in rows if first[row.text] is row]
    left_out["the same as another"] += len(rows) - len(distinct)
    if threshold < 1:
        same_as = near_duplicates([row.text for row in distinct], threshold, seed)
        kept = [row for at, row in enumerate(distinct) if same_as[at] == at]
        left_out["nearly the same as another"] += len(distinct) - len(kept)
        distinct = kept
    return distinct


def scene_groups(
    rows: Iterable[Row], threshold: float, seed: int, routes: Mapping[str, str]
) -> dict[str, str]:
    """For each scene (by `splits.scene_name`) the group of scenes that has to stay in one split: those of a
    route, and those that nearly say the same, judged by all that was rendered, before duplicates went."""
    told: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        told[row.place].append(row.text)
    places = list(told)
    route = {place: f"route {routes[place]}" for place in places if place in routes}
    links = list(route.items())
    if threshold < 1:
        same_as = near_duplicates(["\n".join(told[place]) for place in places], threshold, seed)
        links += [(place, places[other]) for place, other in zip(places, same_as, strict=True)]
    return groups([*places, *route.values()], links)


def by_split(
    rows: Sequence[Row], group: Mapping[str, str], validation: float, test: float, seed: int
) -> dict[Split, list[Row]]:
    """The rows in their order, by split; those of one group of scenes are in one."""
    of_row = [group[row.place] for row in rows]
    split = assign(Counter(of_row), validation, test, seed)
    found: dict[Split, list[Row]] = {part: [] for part in SPLITS}
    for row, name in zip(rows, of_row, strict=True):
        found[split[name]].append(row)
    return found


def balanced(rows: Sequence[Row], seed: int, left_out: Counter[str]) -> list[Row]:
    """As many rows of every language as the rarest has. Which ones is told by their hash."""
    by_language: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (fraction(seed, row.id), row.id)):
        by_language[row.language].append(row)
    least = min(map(len, by_language.values()), default=0)
    stays = {id(row) for alike in by_language.values() for row in alike[:least]}
    left_out["too many of its language"] += len(rows) - len(stays)
    return [row for row in rows if id(row) in stays]
