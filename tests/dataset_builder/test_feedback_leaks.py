"""Whatever happens in whatever order: no word of anybody who does not allow it reaches a file, and what is
allowed does.

What must come out is told by a second reckoning that is as simple as can be: it looks at the whole story each
time it is asked.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dataset_builder.__main__ import main
from tests.dataset_builder.bot_events import Bot
from tests.dataset_builder.talks import character

PLACES = {"pA": ["uAn"], "pB": ["uBo"], "pgroup": ["uAn", "uBo", "uCi"]}
WEIGHTS = (0.25, 0.5, 1.0)


@dataclass(eq=False)
class Text:
    """Words that are found again: a message, a reply or an edit."""

    words: str
    place: str
    owners: list[tuple[str, int]]  # who must allow it, and when it was said


@dataclass(eq=False)
class Reply:
    id: str
    turn: "Turn"
    text: Text
    parts: list[Text]  # all words in it and in its prompt
    prompt: str = ""  # id of the reply that answers the same prompt
    edit: bool = False


@dataclass(eq=False)
class Turn:
    said: Text
    own: list[Text]  # what was said, and quoted in it
    replies: list[Reply] = field(default_factory=list)
    kept: Reply | None = None
    how: str = ""
    chooser: tuple[str, int] | None = None
    went_on: list[tuple["Turn", Reply | None]] = field(default_factory=list)  # following turn, kept one then


class Story:
    """Does things with a bot, and remembers them."""

    def __init__(self, folder: Path, *, erase: bool) -> None:
        self.bot = Bot(character(folder / "characters"), window=4)
        self.erase = erase
        self.now = 0
        self.answers: dict[tuple[str, str], list[tuple[int, bool]]] = defaultdict(list)  # consent, forgetting
        self.texts: list[Text] = []
        self.turns: dict[str, Turn] = {}  # by the bot's id
        self.replies: list[Reply] = []
        self.votes: dict[tuple[Reply, str], tuple[int, str | None, float]] = {}
        self.gone: set[Reply] = set()

    def do(self, what: str, where: int, who: int, more: int) -> None:
        self.now += 1
        place = list(PLACES)[where % len(PLACES)]
        people = PLACES[place]
        getattr(self, what)(place, people[who % len(people)], more)

    def yes(self, place: str, person: str, more: int) -> None:
        self.bot.consent(place, person)
        self.answers[place, person].append((self.now, True))

    def no(self, place: str, person: str, more: int) -> None:
        self.bot.consent(place, person, False)
        self.answers[place, person].append((self.now, False))

    def forget(self, place: str, person: str, more: int) -> None:
        self.bot.forget(place, person, erase=self.erase)
        self.answers[place, person].append((self.now, False))
        for reply in self.replies:
            said = reply.turn.said
            if said.place == place and (place != "pgroup" or any(person == each for each, _ in said.owners)):
                self.gone.add(reply)

    def reset(self, place: str, person: str, more: int) -> None:
        self.bot.reset(place)

    def say(self, place: str, person: str, more: int) -> None:
        people = PLACES[place]
        speakers = [person] if more % 3 else [person, people[more % len(people)]]
        heard = [text for text in self.texts if text.place == place and "edit" not in text.words]
        quoted = heard[more % len(heard)] if place == "pgroup" and heard and more % 4 == 0 else None
        said = self.text(f"said {self.now}", place, [(each, self.now) for each in speakers])
        answer = self.text(f"answer {self.now}", place, said.owners)
        turn = Turn(said, [said, *([quoted] if quoted else [])])
        window, at = self.window(place), self.bot.place(place)
        if at.window:
            last = self.turns[at.window[-1].id]
            last.went_on.append((turn, last.kept))
        words = [(each, said.words) for each in speakers]
        id_ = self.bot.say(place, words, answer.words, quoted=quoted.words if quoted else "")
        self.turns[at.turns[-1].id] = turn
        self.answered(turn, id_, answer, window)

    def again(self, place: str, person: str, more: int) -> None:
        at = self.bot.place(place)
        if at.window:
            turn = self.turns[at.window[-1].id]
            answer = self.text(f"answer {self.now}", place, turn.said.owners)
            window = self.window(place, but=1)
            self.answered(turn, self.bot.again(place, answer.words), answer, window)

    def answered(self, turn: Turn, id_: str, answer: Text, window: list[Text]) -> None:
        reply = Reply(id_, turn, answer, [*window, *turn.own, answer], id_)
        turn.replies.append(reply)
        turn.kept, turn.how, turn.chooser = reply, "swipe", None
        self.replies.append(reply)

    def window(self, place: str, but: int = 0) -> list[Text]:
        turns = self.bot.place(place).window
        found = [self.turns[each.id] for each in turns[: len(turns) - but]]
        return [part for turn in found if turn.kept for part in (*turn.own, turn.kept.text)]

    def vote(self, place: str, person: str, more: int) -> None:
        if reply := self.pick(place, more):
            new = (None, "up", "down", "up")[more % 4]
            weight = WEIGHTS[more % 3]
            self.bot.vote(place, reply.id, person, new, weight=weight)
            self.votes[reply, person] = (self.now, new, weight)

    def flip(self, place: str, person: str, more: int) -> None:
        if reply := self.pick(place, more):
            self.bot.flip(place, reply.id, person)
            turn = reply.turn
            turn.kept, turn.how, turn.chooser = reply, "edit" if reply.edit else "flip", (person, self.now)

    def edit(self, place: str, person: str, more: int) -> None:
        if reply := self.pick(place, more):
            turn = reply.turn
            words = self.text(f"edit {self.now}", place, [*turn.said.owners, (person, self.now)])
            id_ = self.bot.edit(place, reply.id, person, words.words)
            last = next(each for each in reversed(turn.replies) if not each.edit)
            edit = Reply(id_, turn, words, [*last.parts, words], last.id, edit=True)
            turn.replies.append(edit)
            self.replies.append(edit)
            turn.kept, turn.how, turn.chooser = edit, "edit", (person, self.now)

    def pick(self, place: str, more: int) -> Reply | None:
        """One that is still known to the bot."""
        there = [r for r in self.replies if r.turn.said.place == place and r not in self.gone]
        return there[-1 - more % min(len(there), 4)] if there else None

    def text(self, words: str, place: str, owners: list[tuple[str, int]]) -> Text:
        self.texts.append(Text(f"[{words}]", place, owners))
        return self.texts[-1]

    # --- what must come out ---------------------------------------------------------------------------------

    def allows(self, place: str, person: str, when: int) -> bool:
        answers = self.answers[place, person]
        before = [on for at, on in answers if at < when]
        return bool(before) and before[-1] and all(on for at, on in answers if at >= when)

    def may(self, text: Text) -> bool:
        return all(self.allows(text.place, person, when) for person, when in text.owners)

    def usable(self, reply: Reply) -> bool:
        return all(self.may(part) for part in reply.parts)

    def expected_votes(self) -> dict[str, float]:
        nets: dict[str, float] = defaultdict(float)
        for (reply, person), (when, new, weight) in self.votes.items():
            allowed = self.usable(reply) and self.allows(reply.turn.said.place, person, when)
            if new and allowed and not reply.edit:
                nets[reply.id] += weight if new == "up" else -weight
        return {id_: net for id_, net in nets.items() if net}

    def expected_choices(self) -> set[tuple[str, str, str]]:
        """Kind, kept words and others."""
        prompts = {each["reply"]: each["prompt"] for each in self.events() if each["kind"] == "reply"}
        found = set()
        for turn in self.turns.values():
            kept = turn.kept
            assert kept is not None
            followers = [then for after, then in turn.went_on if self.usable(after.replies[0])]
            if turn.chooser is None and (not followers or followers[-1] is not kept):
                continue
            if turn.chooser is not None and not self.allows(kept.text.place, *turn.chooser):
                continue
            for other in turn.replies:
                two = self.usable(kept) and self.usable(other) and not other.edit and other is not kept
                if two and prompts.get(other.prompt) == prompts.get(kept.prompt):
                    found.add((turn.how, kept.text.words, other.text.words))
        return found

    def events(self) -> list[dict[str, Any]]:
        return [each for each in self.bot.events if each]


OFTEN = {"yes": 3, "no": 1, "say": 9, "vote": 12, "again": 4, "flip": 4, "edit": 2, "reset": 1, "forget": 1}
STEP = st.tuples(
    st.sampled_from([what for what, times in OFTEN.items() for _ in range(times)]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 23),
)
STEPS = st.lists(STEP, min_size=30, max_size=90)
BEGIN = [("yes", where, who, 0) for where in range(3) for who in range(3)]


def told(story: Story, folder: Path) -> dict[str, Any]:
    story.bot.write(folder / "feedback")
    arguments = ["--characters", str(folder / "characters"), "--character", "zhiwei", "--near-duplicate", "1"]
    arguments += ["--share", "1", "-o", str(folder / "rows")]
    assert main(["feedback", str(folder / "feedback"), *arguments]) == 0
    found: dict[str, Any] = json.loads((folder / "rows" / "manifest.json").read_bytes())
    return found


def rows(folder: Path, view: str) -> list[dict[str, Any]]:
    paths = sorted((folder / "rows").rglob(f"{view}.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def everything(folder: Path) -> str:
    """All that stands in any file, Parquet too."""
    parts = []
    for path in (folder / "rows").rglob("*"):
        if path.suffix == ".parquet":
            parts.append(str(pyarrow.parquet.read_table(path).to_pylist()))
        elif path.is_file():
            parts.append(path.read_text(encoding="utf-8"))
    return "\n".join(parts)


@settings(max_examples=60)
@given(STEPS, st.booleans())
def test_no_word_leaks_and_every_vote_that_may_is_there(
    steps: list[tuple[str, int, int, int]], erase: bool
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        story = Story(folder, erase=erase)
        for step in [*BEGIN, *steps]:
            story.do(*step)
        manifest = told(story, folder)
        written = everything(folder)
        for text in story.texts:
            if not story.may(text):
                assert text.words not in written, text
            elif text.words in written:
                assert {person for person, _ in text.owners} <= manifest["persons"].keys()
        for person in ("uAn", "uBo", "uCi"):
            if not any(story.allows(place, person, story.now + 1) for place in PLACES):
                assert person not in manifest["persons"]
        votes = {
            row["source"]["replies"][0]: row["weight"] if row["label"] else -row["weight"]
            for row in rows(folder, "votes")
        }
        choices = {
            (row["kind"], row["chosen"][0]["content"], row["rejected"][0]["content"])
            for row in rows(folder, "preference")
            if row["kind"] != "votes"
        }
        if erase:  # of a turn of somebody else's, the choice before a forgotten person's stands again
            assert votes.items() <= story.expected_votes().items()
        else:
            assert votes == story.expected_votes()
            assert choices == story.expected_choices()
        event(f"{min(len(votes), 5)} votes")
        event(f"{min(len(choices), 3)} choices")
