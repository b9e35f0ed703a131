"""From what people do to the files of feedback: consent, votes and their weight, forgetting, and crashes."""

import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import keys
from bot.feedback.bursts import Bursts, poisson_tail
from bot.feedback.consent import Consents
from bot.feedback.events import Events
from bot.feedback.files import EventFiles
from bot.feedback.journal import Journal
from bot.feedback.names import Names
from bot.feedback.tally import Counts
from bot.feedback.votes import Votes
from bot.memory.store import Store, connect
from bot.messages import Person, Place, Reaction, Vote
from bot.settings import BotSettings
from dataset_builder.schema import FEEDBACK, Grant, QuarantineEvent, VoteEvent
from tests.bot.conftest import Talking
from tests.fakes.gateway import ANNA, BEN, PaperGateway, Talk
from tests.fakes.model import FakeModel

GROUP = Place("paper", "bot", "group", "room")


def events(settings: BotSettings) -> list[dict[str, Any]]:
    """What stands in the files, each line checked."""
    lines = [
        line
        for path in sorted((settings.data / "feedback").glob("events-*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    for line in lines:
        FEEDBACK.validate_json(line)
    # Those of one place stand in their order; those of several are told apart by time.
    return sorted(map(json.loads, lines), key=lambda event: event["time"])


def of_kind(settings: BotSettings, kind: str) -> list[dict[str, Any]]:
    return [event for event in events(settings) if event["kind"] == kind]


async def test_without_a_yes_no_word_of_hers_or_theirs_reaches_the_files(
    talking: Talking, settings: BotSettings
) -> None:
    async with talking() as talk:
        await talk.say("my secret")
        await talk.react("m1", "up")
    reply, vote = events(settings)
    assert reply["consent"] is False
    assert reply["version"] == "maeve.v1"
    assert reply["completion_tokens"] > 0
    assert (vote["old"], vote["new"], vote["reply"]) == (None, "up", reply["reply"])
    written = "".join(path.read_text() for path in (settings.data / "feedback").iterdir())
    assert "secret" not in written
    assert "heard" not in written
    assert ANNA.id not in written


async def test_a_yes_counts_from_then_on_and_can_be_taken_back(
    talking: Talking, settings: BotSettings
) -> None:
    async with talking() as talk:
        await talk.say("before")
        told = await talk.send("/consent")
        assert told is not None
        assert "Now: no" in told
        assert "cannot un-learn" in (await talk.send("/consent on") or "")
        await talk.say("between")
        assert "Now: yes" in (await talk.send("/consent") or "")
        await talk.send("/consent off")
        await talk.say("after")
    replies = of_kind(settings, "reply")
    assert [[one["text"] for one in reply.get("said", [])] for reply in replies] == [[], ["between"], []]
    assert replies[1]["text"] == "maeve.v1 heard: between"
    assert replies[1]["turns"] == [replies[0]["turn"]]
    assert [event["on"] for event in of_kind(settings, "consent")] == [True, False]


async def test_in_a_group_everybody_who_spoke_must_agree(talking: Talking, settings: BotSettings) -> None:
    async with talking(PaperGateway(burst=0.2)) as talk:
        talk = Talk(talk.chat, talk.gateway, GROUP)
        await talk.send("/consent on", ANNA)
        await talk.say("anna alone", ANNA)
        await talk.send("anna again", ANNA)
        await talk.send("ben too", BEN)
        await talk.gateway.wait(2)
        await talk.send("/consent on", BEN)
        await talk.send("anna now", ANNA)
        await talk.send("ben now", BEN)
        await talk.gateway.wait(3)
    first, second, third = of_kind(settings, "reply")
    assert [one["text"] for one in first["said"]] == ["anna alone"]
    assert "said" not in second
    assert [(one["name"], one["text"]) for one in third["said"]] == [("Anna", "anna now"), ("Ben", "ben now")]
    assert len(third["people"]) == 2


async def test_words_that_somebody_quotes_in_a_group_stay_out(
    talking: Talking, settings: BotSettings, model: FakeModel
) -> None:
    model.reply = lambda _: "I see."
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        await room.send("/consent on", ANNA)
        await room.say("what does Ben mean?", ANNA, quotes="x1", quoted_text="private words of Ben")
        await talk.send("/consent on", ANNA)
        await talk.say("what did I mean?", ANNA, quotes="x2", quoted_text="my own words")
    assert "private words of Ben" in str(model.requests[0])
    in_group, alone = of_kind(settings, "reply")
    assert in_group["said"][0]["text"] == "what does Ben mean?"
    assert "private words" not in str(in_group)
    assert alone["said"][0]["quoted"] == "my own words"


async def test_a_consent_that_cannot_be_read_is_none(store: Store) -> None:
    """The yes is read in the same Lua call that writes the reply down; there is no other way to it."""
    names = await Names.open(store)
    consents = Consents(store, names, keep_seconds=60)
    place = Place("paper", "bot", "private", "anna")
    assert await consents.put(place, ANNA, True)
    assert not await consents.put(place, ANNA, True)
    assert (await consents.of(place, ANNA)).on
    await store.do("DEL", keys.consent(place, ANNA.id))
    assert not (await consents.of(place, ANNA)).on


@pytest.mark.parametrize("grant", [None, Grant(id="D-1", date="2026-10-01", scope="all")])
async def test_words_from_discord_need_a_grant_of_discord(
    talking: Talking, settings: BotSettings, grant: Grant | None
) -> None:
    feedback = settings.feedback.model_copy(update={"discord_grant": grant})
    async with talking(PaperGateway("discord"), feedback=feedback) as talk:
        await talk.send("/consent on")
        await talk.say("words")
        await talk.react("m1", "up")
    (reply,) = of_kind(settings, "reply")
    assert reply["consent"] is True
    assert ("text" in reply) == (grant is not None)
    assert reply.get("grant") == (grant.model_dump() if grant else None)
    assert len(of_kind(settings, "vote")) == 1  # counts per version all the same


async def test_forgetting_reaches_the_files(talking: Talking, settings: BotSettings) -> None:
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        for person in (ANNA, BEN):
            await room.send("/consent on", person)
        await room.say("from anna", ANNA)
        await room.react("m1", "up", person=BEN)
        await room.say("from ben", BEN)
        await room.react("m2", "down", person=ANNA)
        await room.send("/forget yes", ANNA)
        await room.say("ben again", BEN)
        assert "Now: no" in (await room.send("/consent", ANNA) or "")
    left = of_kind(settings, "reply")
    assert [reply["said"][0]["text"] for reply in left] == ["from ben", "ben again"]
    assert not of_kind(settings, "vote")  # hers on Ben's reply, and Ben's on what had answered her
    assert len(of_kind(settings, "forget")) == 1
    tally = json.loads((settings.data / "feedback" / "tally.json").read_text())
    assert [(day["shown"], day["up"], day["down"]) for day in tally["versions"]] == [(2, 0, 0)]


async def test_a_vote_weighs_less_from_bystanders_newcomers_and_after_the_cap(
    talking: Talking, settings: BotSettings, store: Store
) -> None:
    feedback = settings.feedback.model_copy(update={"daily_votes": 1})
    async with talking(feedback=feedback) as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        await room.say("one", ANNA)
        await room.say("two", ANNA)
        await store.do("SET", keys.met(GROUP, ANNA.id), 1)  # in 1970
        await room.react("m1", "up", person=ANNA)
        await room.react("m2", "up", person=ANNA)
        await room.react("m2", "down", person=ANNA, mark="other")  # the weight stays what it was
        await room.react("m1", "down", person=BEN)
        await room.say("three", BEN)
        await room.react("m3", "down", person=BEN)
    votes = of_kind(settings, "vote")
    assert [(vote["weight"], vote["reasons"]) for vote in votes] == [
        (1, []),
        (0, ["daily-cap"]),
        (0, ["daily-cap"]),
        (0.3, ["bystander"]),
        (0, ["newcomer", "daily-cap"]),
    ]


async def test_a_person_is_given_everything_that_is_kept(talking: Talking) -> None:
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        await room.send("/consent on", ANNA)
        await room.say("from anna", ANNA)
        await room.react("m1", "up", person=ANNA)
        await room.say("from ben", BEN)
        told = await room.send("/export", ANNA)
    assert "1 turns" in (told or "")
    ((person, _, data),) = talk.gateway.handed
    about = json.loads(data)
    assert person == ANNA.id
    assert about["consent"]["on"] is True
    (turn,) = about["turns"]
    assert turn["said"][0]["text"] == "from anna"
    assert turn["answers"][0]["your_vote"] == "up"


async def test_another_answer_can_be_kept_or_put_right(
    talking: Talking, settings: BotSettings, model: FakeModel
) -> None:
    answers = iter(["first", "second", "third"])
    model.reply = lambda _: next(answers)
    async with talking() as talk:
        chat, place = talk.chat, talk.place
        await talk.send("/consent on")
        await talk.say("hello")
        await talk.say("/regenerate")
        line = (await chat.history(place, ANNA))[-1]
        assert [each.text for each in line.answers] == ["first", "second"]
        assert line.text == "second"
        first, second = (each.reply for each in line.answers)
        assert not await chat.choose(place, ANNA, "maeve", second)  # is kept already
        assert not await chat.choose(place, ANNA, "maeve", "nosuch")
        assert await chat.choose(place, ANNA, "maeve", first)
        assert (await chat.history(place, ANNA))[-1].text == "first"
        assert await chat.edit(place, ANNA, "maeve", first, "better")
        assert (await chat.history(place, ANNA))[-1].text == "better"
        await talk.say("go on")
        assert [each["content"] for each in model.requests[-1]["messages"][1:]] == [
            "hello",
            "better",
            "go on",
        ]
        assert not await chat.choose(place, ANNA, "maeve", second)  # not the last message any more
    choices = of_kind(settings, "choice")
    assert [(each["how"], each.get("text")) for each in choices] == [("flip", None), ("edit", "better")]
    assert choices[0]["reply"] == first


async def test_answers_to_one_message_are_limited(talking: Talking, settings: BotSettings) -> None:
    feedback = settings.feedback.model_copy(update={"answers": 2})
    async with talking(feedback=feedback) as talk:
        await talk.say("hello")
        await talk.say("/regenerate")
        assert "2 answers at most" in (await talk.send("/regenerate") or "")
    assert [each["swipe"] for each in of_kind(settings, "reply")] == [0, 1]


# --- the folded state is the same whatever the order of events


@given(st.data())
def test_votes_fold_to_the_newest_marks_whatever_the_order(redis_url: str, data: st.DataObject) -> None:
    """Each mark's newest event decides whether it is there; the newest mark that is there is the vote."""
    count = data.draw(st.integers(1, 12))
    changes = [
        Reaction(
            Place("paper", "bot", "private", "anna"),
            "m1",
            Person(data.draw(st.sampled_from(["anna", "ben"])), ""),
            vote,
            data.draw(st.booleans()),
            mark,
            float(at + 1),
        )
        for at in range(count)
        for mark, vote in [data.draw(st.sampled_from([("👍", "up"), ("👎", "down"), ("button", "down")]))]
    ]
    late = data.draw(st.permutations(changes))
    replayed = [*late, *data.draw(st.lists(st.sampled_from(late), max_size=5))]

    expected: dict[str, Vote] = {}
    for person in ("anna", "ben"):
        marks = {}
        for change in changes:
            if change.person.id == person:
                marks[change.mark] = change
        there = [change for change in marks.values() if change.added]
        if there:
            expected[person] = max(there, key=lambda change: change.time).vote

    async def folded() -> tuple[dict[str, Vote], Counter[str]]:
        store = connect(url=redis_url)
        try:
            await store.do("FLUSHALL")
            place = changes[0].place
            record = {"character": "maeve", "version": "maeve.v1"}
            await store.do("SET", keys.said(place, "m1"), "maeve r1")
            await store.do("SET", keys.reply(place, "r1"), json.dumps(record))
            votes = Votes(store, await Names.open(store), keep_seconds=60, daily=99)
            for change in replayed:
                await votes.put(change)
            sums: Counter[str] = Counter()
            for _, raw in await Events(store, "test").read(keys.shard(place), 100):
                event = json.loads(raw)
                sums[event["new"] or ""] += 1
                sums[event["old"] or ""] -= 1
            return {person: cast.vote for person, cast in (await votes.of(place, "r1")).items()}, sums
        finally:
            await store.close()

    found, sums = asyncio.run(folded())
    assert found == expected
    del sums[""]
    assert +sums == Counter(found.values())


# --- crashes


async def test_a_crash_between_writing_and_taking_away_writes_nothing_twice(
    store: Store, tmp_path: Path
) -> None:
    await _happen(store, 7)
    files = EventFiles(tmp_path)

    class Dies(Events):
        async def done(self, shard: str, ids: list[str]) -> None:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Journal(Dies(store, "first"), files).drain()
    assert len(list(files.read())) == 7
    with next(tmp_path.glob("events-*")).open("ab") as file:
        file.write(b'{"id": "s00-1-')  # and another one died while it wrote
    await store.do("DEL", keys.JOURNAL)
    await _happen(store, 2)
    assert await Journal(Events(store, "second"), files).drain() == 9
    ids = [event["id"] for event in files.read()]
    assert len(ids) == len(set(ids)) == 9


async def test_one_bot_writes_and_another_takes_over(store: Store, tmp_path: Path) -> None:
    first = Journal(Events(store, "first"), EventFiles(tmp_path))
    second = Journal(Events(store, "second"), EventFiles(tmp_path))
    await _happen(store, 1)
    assert await first.drain() == 1
    await _happen(store, 1)
    assert await second.drain() == 0
    stop = asyncio.Event()
    stop.set()
    await first.run(stop)
    await _happen(store, 1)
    assert await second.drain() == 1
    assert len(list(EventFiles(tmp_path).read())) == 3


_numbers = itertools.count()


async def _happen(store: Store, count: int) -> None:
    consents = Consents(store, await Names.open(store), keep_seconds=60)
    for _ in range(count):
        await consents.put(GROUP, Person(f"{next(_numbers)}", ""), True)


# --- rushes


def vote(
    at: float, person: str, new: Vote | None = "up", old: Vote | None = None, reply: str = ""
) -> VoteEvent:
    return VoteEvent(
        id=f"s00-{at}-{person}",
        time=at,
        place="p",
        character="maeve",
        reply=reply or f"r{person}",
        version="maeve.v2",
        person=person,
        old=old,
        new=new,
    )


def test_a_rush_of_newcomers_is_held_back_and_regulars_are_not() -> None:
    bursts = Bursts()
    day = 86_400.0
    for at in range(40):  # regulars, three a day
        assert bursts.look(vote(at * day / 3, f"u{at % 5}", "up" if at % 3 else "down")) is None
    late = 20 * day
    evening = [bursts.look(vote(late + number, f"u{number % 5}")) for number in range(50)]
    assert not any(evening)
    rush = [bursts.look(vote(late + 60 + number, f"new{number}")) for number in range(30)]
    held = [each for each in rush if each]
    assert held
    persons = set().union(*(each.persons for each in held))
    assert persons == {f"new{number}" for number in range(30)}
    assert "newcomers" in held[0].reason


def test_poissons_tail_is_what_tables_say() -> None:
    assert poisson_tail(0, 3.0) == 1.0
    assert poisson_tail(5, 3.0) == pytest.approx(0.18474, abs=1e-5)
    assert poisson_tail(12, 3.0) == pytest.approx(7.14e-5, rel=1e-2)


def test_votes_that_are_held_back_do_not_count_until_they_are_released() -> None:
    cast = [vote(float(number), f"u{number}") for number in range(6)]
    taken_back = vote(10.0, "u1", None, "up")
    happened = [each.model_dump() for each in (*cast, taken_back)]
    quarantine = QuarantineEvent(
        id="q", time=9, place="", character="maeve", since=0, until=4, persons=("u1", "u2"), reason="test"
    )
    (held,) = Counts(happened, [quarantine]).tally().versions
    assert (held.up, held.quarantined) == (4, 1)
    release = quarantine.model_copy(update={"released": True})
    (free,) = Counts(happened, [quarantine, release]).tally().versions
    assert (free.up, free.quarantined) == (5, 0)
