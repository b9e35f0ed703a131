"""The data sets that judgements make, one for each way of learning, and which persons are held out of them.

Persons and conversations are held out whole, with everybody who ever met in them: a row that is held out has
no word and no vote of anybody who trains.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from dataset_builder.config import FeedbackConfig
from dataset_builder.exporting.splits import assign, groups
from dataset_builder.feedback.alike import distinct
from dataset_builder.feedback.judgements import Row, opposites
from dataset_builder.feedback.share import Shared, bounded
from dataset_builder.feedback.state import Feedback

View = Literal["votes", "preference", "reward", "sft"]
Side = Literal["train", "held-out"]
SIDES: tuple[Side, ...] = ("train", "held-out")
VIEWS: tuple[View, ...] = ("votes", "preference", "reward", "sft")
SOURCES: tuple[View, ...] = ("preference", "votes")  # in the order in which the others have their rows
DRAWN_FROM: dict[View, tuple[View, ...]] = {"reward": SOURCES, "sft": ("votes",)}
SETS = tuple((side, view) for side in SIDES for view in VIEWS)

ALIKE = "nearly the same as another"
TOO_MANY = "more than one person's share"

_LIKED = 1.0  # net weight from which a reply is worth being learned by heart
_HEAVIEST = 100.0  # that `training` takes


def name_of(side: Side, view: View) -> str:
    """Of a data set: `train/votes`."""
    return f"{side}/{view}"


def views(
    judged: Sequence[Row], chosen: Sequence[Row], config: FeedbackConfig, lost: dict[str, Counter[str]]
) -> dict[tuple[Side, View], Shared]:
    """All data sets, of votes and of choices. `lost` counts rows by `side/view` and reason."""
    judged = _distinct(judged, config, lost, "votes")
    chosen = _distinct(chosen, config, lost, "preference")
    side = sides([*judged, *chosen], config.held_out, config.seed)
    found: dict[tuple[Side, View], Shared] = {}
    for each in SIDES:
        votes = [row for row in judged if side[row.first.turn.place] == each]
        pairs = [row for row in chosen if side[row.first.turn.place] == each]
        pairs = _distinct([*pairs, *opposites(votes)], config, lost, "preference")
        whole: dict[View, Sequence[Row]] = {"votes": votes, "preference": pairs}
        for view in VIEWS:
            rows = (
                whole[view]
                if view in whole
                else _drawn(view, found[each, "votes"], found[each, "preference"])
            )
            found[each, view] = bounded(rows, config.share, config.seed)
            _count(lost, name_of(each, view), TOO_MANY, len(rows) - len(found[each, view].rows))
    return found


def _drawn(view: View, votes: Shared, pairs: Shared) -> list[Row]:
    """The rows of a data set that has none of its own, in the order of `DRAWN_FROM`."""
    if view == "sft":
        return [row for row in votes.rows if row.better and row.weight >= _LIKED]
    paired = {answer for row in pairs.rows if row.kind == "votes" for answer in row.answers}
    return [*pairs.rows, *(row for row in votes.rows if row.first not in paired)]


def _distinct(
    rows: Sequence[Row], config: FeedbackConfig, lost: dict[str, Counter[str]], view: View
) -> list[Row]:
    """Likes, dislikes and pairs are each compared among themselves: a like and a dislike of the same reply
    are two opinions."""
    kept: list[Row] = []
    for alike in (
        [row for row in rows if not row.worse],
        [row for row in rows if not row.better],
        [row for row in rows if row.better and row.worse],
    ):
        texts = [(row.first.user, *(answer.text for answer in row.answers)) for row in alike]
        kept += [alike[at] for at in distinct(texts, config.near_duplicate, config.seed)]
    _count(lost, view, ALIKE, len(rows) - len(kept))
    return sorted(kept, key=lambda row: row.first.when)


def _count(lost: dict[str, Counter[str]], view: str, reason: str, count: int) -> None:
    if count:
        lost.setdefault(view, Counter())[reason] += count


def sides(rows: Iterable[Row], held_out: float, seed: int) -> dict[str, Side]:
    """The side of each conversation: persons and conversations that rows connect have one together."""
    met = {(place, person) for row in rows for place in row.places for person in row.persons}
    links = [(f"place {place}", f"person {person}") for place, person in sorted(met)]
    group = groups({name for link in links for name in link}, links)
    sizes = Counter(group[f"place {row.first.turn.place}"] for row in rows)
    split = assign(sizes, 0, held_out, seed)
    return {
        name.removeprefix("place "): "held-out" if split[root] == "test" else "train"
        for name, root in group.items()
        if name.startswith("place ")
    }


def columns(row: Row, feedback: Feedback) -> dict[str, Any]:
    """A row, with TRL's column names; `weight`, `kind` and `source` are ours."""
    written: dict[str, Any] = {"prompt": feedback.prompt(row.first)}
    if row.better and row.worse:
        written |= {"chosen": _said(row.better.text), "rejected": _said(row.worse.text)}
    else:
        written |= {"completion": _said(row.first.text), "label": row.better is not None}
    return written | {
        "kind": row.kind,
        "weight": min(_HEAVIEST, round(row.weight, 6)),
        "source": {"replies": [answer.reply for answer in row.answers], "events": list(row.events)},
    }


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def persons(found: Mapping[tuple[Side, View], Shared]) -> dict[str, dict[str, int]]:
    """Everybody who has part in a row, with the number of judgements on each side."""
    counts: dict[str, dict[str, int]] = {}
    for side in SIDES:
        rows = {row for (each, _), shared in found.items() if each == side for row in shared.rows}
        for row in rows:
            for person in row.persons:
                counts.setdefault(person, dict.fromkeys(SIDES, 0))[side] += 1
    return dict(sorted(counts.items()))
