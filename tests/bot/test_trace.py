"""`python -m bot trace`: from a reply back to its version, prompt, votes, data and script lines. A whole bot
with the fake model fills the memory; the command line reads it.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.memory.store import Store
from bot.messages import Place
from bot.nearest import Index, words
from bot.settings import BotSettings
from dataset_builder.dialogue import dialogues
from dataset_builder.export import ExportOptions, export
from dataset_builder.rows import write_rows
from dataset_builder.schema import Line, Scene, Source
from inference.characters import load_character
from tests.bot.conftest import Talking
from tests.conftest import ROOT
from tests.fakes.command import Command
from tests.fakes.gateway import ANNA, BEN, Talk
from tests.fakes.model import FakeModel
from tests.fakes.shown import shown_by
from training.data import read_rows, split

GULLS = "The lamp turns once in twelve seconds, and the gulls pay it no mind."
BASE = "qwen2.5-coder-0.5b"


@pytest.fixture
def settings(settings: BotSettings, tmp_path: Path) -> BotSettings:
    """With a Maeve whose folder may be written."""
    characters = tmp_path / "characters"
    maeve = characters / "maeve"
    maeve.mkdir(parents=True)
    for name in ("card.json", "dialogues.jsonl"):
        shutil.copy(ROOT / "characters" / "maeve" / name, maeve)
    return settings.model_copy(update={"characters": characters})


@pytest.fixture
def command(
    settings: BotSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(settings, monkeypatch, capsys)


async def traced(command: Command, *arguments: str) -> dict[str, Any]:
    done = await command("trace", *arguments, "--json")
    assert done.code == 0, done.err
    trace: dict[str, Any] = json.loads(done.out)
    return trace


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def version(characters: Path, number: int, data: Sequence[Path], **more: Any) -> Path:
    """A version folder as `training` leaves it, without weights: nobody serves it here."""
    folder = characters / "maeve" / "adapters" / BASE / f"v{number}"
    folder.mkdir(parents=True)
    manifest = {
        "base": BASE,
        "base_sha256": "0" * 64,
        "sha256": f"{number}" * 64,
        "character": "maeve",
        "card": sha256(characters / "maeve" / "card.json"),
        "stage": "sft",
        "data": [
            {"path": str(path), "sha256": sha256(path), "rows": len(path.read_text().splitlines())}
            for path in data
        ],
        **more,
    }
    (folder / "version.json").write_text(json.dumps(manifest))
    return folder


# --- the reply itself


async def test_a_reply_is_traced_to_its_prompt_its_votes_and_the_rows_nearest_to_it(
    talking: Talking, command: Command, settings: BotSettings, store: Store, model: FakeModel
) -> None:
    version(settings.characters, 1, [settings.characters / "maeve" / "dialogues.jsonl"])
    model.reply = lambda _: GULLS
    async with talking() as talk:
        await talk.say("what do you see?")
        await talk.say("and now?")
        first, reply = [await shown_by(store, talk.place, each) for each in ("m1", "m2")]
        await talk.react("m2", "down")
    trace = await traced(command, reply)
    assert trace["record"]["version"] == "maeve.v1"
    assert trace["record"]["text"] == GULLS
    assert trace["prompt"]["wrong"] == ""
    sent = [{"role": each["role"], "content": each["content"]} for each in model.requests[-1]["messages"]]
    assert trace["prompt"]["messages"] == sent
    assert trace["prompt"]["turns"] == [first[:-1]]
    (opinion,) = trace["opinions"]
    assert (opinion["vote"], opinion["weight"]) == ("down", 0.25)
    assert "less than a day" in opinion["why"]
    assert ANNA.id not in json.dumps(opinion)
    (behind,) = trace["behind"]
    (source,) = behind["sources"]
    assert source["state"] == "as it was"
    nearest = behind["nearest"][0]
    assert "twelve seconds" in nearest["row"]["chat"][nearest["answer"]]["content"]
    place = Path(nearest["row"]["path"]).read_text().splitlines()[nearest["row"]["line"] - 1]
    assert json.loads(place)["turns"][-1][1] in [each["content"] for each in nearest["row"]["chat"]]

    done = await command("trace", reply)
    for words_ in (
        "it is the one that was sent",
        "maeve.v1",
        f"dialogues.jsonl:{nearest['row']['line']}",
        "no cause",
    ):
        assert words_ in done.out
    by_message = await traced(command, f"{talk.place}:maeve", "--message", "m2")
    assert by_message["record"]["reply"] == reply


async def test_another_answer_has_the_prompt_of_the_first(
    talking: Talking, command: Command, store: Store
) -> None:
    async with talking() as talk:
        await talk.say("hello")
        await talk.say("and?")
        assert await talk.send("/regenerate") is None
        await talk.gateway.wait(3)
        replies = [await shown_by(store, talk.place, each) for each in ("m2", "m3")]
    one, two = [await traced(command, reply) for reply in replies]
    assert one["prompt"] == two["prompt"]
    assert two["prompt"]["wrong"] == ""
    assert two["record"]["swipe"] == 1


async def test_a_prompt_that_cannot_be_written_again_is_never_shown_as_if_it_were(
    talking: Talking, command: Command, settings: BotSettings, store: Store
) -> None:
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, Place("paper", "bot", "group", "room"))
        await room.say("from anna", ANNA)
        await room.say("from ben", BEN)
        reply = await shown_by(store, room.place, "m2")
        assert (await traced(command, reply))["prompt"]["wrong"] == ""
        card = settings.characters / "maeve" / "card.json"
        before = card.read_bytes()
        card.write_bytes(before.replace(b"Maeve Corrigan", b"Maeve Kerrigan"))
        trace = await traced(command, reply)
        assert trace["prompt"]["wrong"] == "her card has been changed since"
        assert "cannot be shown as it was" in (await command("trace", reply)).out
        card.write_bytes(before)
        await room.send("/forget yes", ANNA)
    trace = await traced(command, reply)
    assert "1 of its 1 turns" in trace["prompt"]["wrong"]
    assert trace["prompt"]["messages"] == []
    assert "from anna" not in json.dumps(trace)


async def test_what_the_memory_has_let_go_of_is_told_from_the_files(
    talking: Talking, command: Command, store: Store
) -> None:
    async with talking() as talk:
        await talk.say("no yes was given")
        reply = await shown_by(store, talk.place, "m1")
        await talk.react("m1", "up")
    await store.do("FLUSHALL")
    trace = await traced(command, reply)
    assert trace["expired"]
    assert trace["record"]["version"] == "maeve.v1"
    assert [each["vote"] for each in trace["opinions"]] == ["up"]
    assert "no yes was given" not in json.dumps(trace)
    assert "let go" in (await command("trace", reply)).out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nosuchreply0",), 1, "`nosuchreply0`"),
        (("*",), 2, "`*` is no reply's id"),
        (("somewhere", "--message", "m1"), 2, "`somewhere` is no conversation"),
        (("paper:bot:private:anna:maeve", "--message", "m1"), 1, "`m1`"),
    ],
)
async def test_what_is_not_known_is_one_line(
    command: Command, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = await command("trace", *arguments)
    assert done.code == code
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1


# --- behind the version


@dataclass(frozen=True)
class Script:
    """Scenes with Maeve, and a data set made of them the way `dataset_builder` does."""

    scenes: Path
    rows: Path


@pytest.fixture
def script(tmp_path: Path, settings: BotSettings) -> Script:
    out = tmp_path / "data-set"

    def line(index: int, who: str, text: str) -> Line:
        where = Source("scenario/01.ks", 100 + 3 * index)
        return Line(index, "speech", who, who, (who,), text, text, where)

    scenes = [
        Scene("Skerrow", "scenario/01.ks", f"*night{number}", language="en", lines=lines)
        for number, lines in enumerate(
            [
                [
                    line(0, "Tam", "Why do you never sleep?"),
                    line(1, "Maeve", "A lighthouse keeper sleeps when the herring fleet is home."),
                    line(2, "Tam", "And what about the foghorn?"),
                    line(3, "Maeve", "The foghorn sings a flat contralto,"),
                    line(4, "Maeve", "and Bosun answers it from the pantry."),
                ],
                [
                    line(0, "Tam", "Tea?"),
                    line(1, "Maeve", "Tarry, and strong enough to float a spoon."),
                ],
            ]
        )
    ]
    write_rows(scenes, out / "scenes.jsonl")
    write_rows(dialogues(scenes, "Maeve"), out / "maeve" / "dialogues.jsonl")
    export(
        dialogues(scenes, "Maeve"),
        load_character(settings.characters / "maeve"),
        out / "maeve" / "data",
        ExportOptions(formats=("trl",), validation=0, test=0, plots=False),
    )
    return Script(out / "scenes.jsonl", out / "maeve" / "data" / "trl" / "messages" / "train.jsonl")


async def test_a_reply_is_traced_to_the_lines_of_the_script(
    talking: Talking, command: Command, settings: BotSettings, store: Store, model: FakeModel, script: Script
) -> None:
    version(settings.characters, 1, [script.rows])
    model.reply = lambda _: "Listen: the foghorn has a contralto tonight."
    async with talking() as talk:
        await talk.say("what is that?")
        reply = await shown_by(store, talk.place, "m1")
    trace = await traced(command, reply)
    nearest = trace["behind"][0]["nearest"][0]
    assert nearest["row"]["origin"]["scene"] == "*night0"
    lines = [(line["file"], line["number"], line["text"]) for line in nearest["lines"]]
    assert lines == [
        ("scenario/01.ks", 109, "The foghorn sings a flat contralto,"),
        ("scenario/01.ks", 112, "and Bosun answers it from the pantry."),
    ]
    out = (await command("trace", reply)).out
    assert "scenario/01.ks:109  The foghorn sings a flat contralto," in out

    script.scenes.unlink()
    nearest = (await traced(command, reply))["behind"][0]["nearest"][0]
    assert [(line["index"], line["number"]) for line in nearest["lines"]] == [(3, 0), (4, 0)]
    (script.rows.parents[3] / "dialogues.jsonl").unlink()
    assert (await traced(command, reply))["behind"][0]["nearest"][0]["lines"] == []
    assert "which lines of the scene is not known" in (await command("trace", reply)).out


async def test_the_version_is_traced_to_its_root_with_all_that_was_learned_on_the_way(
    talking: Talking, command: Command, settings: BotSettings, store: Store, model: FakeModel, script: Script
) -> None:
    own = settings.characters / "maeve" / "dialogues.jsonl"
    judged = settings.data / "votes.jsonl"
    said = [{"role": "user", "content": "what is that?"}]
    good, bad = ("The kraken, at a guess.", "As an AI, I hear no kraken.")
    judged.write_text(
        "".join(
            json.dumps(
                {"prompt": said, "completion": [{"role": "assistant", "content": text}], "label": label}
            )
            + "\n"
            for text, label in ((good, True), (bad, False))
        )
        + "no row\n"
    )
    general = settings.data / "replay.en.jsonl"
    general.write_text(
        json.dumps({"messages": [*said, {"role": "assistant", "content": "kraken kraken"}]}) + "\n"
    )
    version(settings.characters, 1, [script.rows])
    parents = [{"name": "maeve.v1", "sha256": "1" * 64, "stage": "sft"}]
    version(settings.characters, 2, [own, general], lineage=parents, config={"lora": {"rank": 16}})
    parents = [{"name": "maeve.v2", "sha256": "2" * 64, "stage": "sft"}, *parents]
    newest = version(settings.characters, 3, [judged], lineage=parents, stage="kto")
    figure = {"value": 88.3, "low": 84.3, "high": 92.7, "n": 120}
    metrics = [
        {"name": "persona_right", "unit": "%", "values": {"adapter": figure}},
        {"name": "?", "values": {}},
    ]
    (newest / "evaluation.json").write_text(json.dumps({"metrics": metrics, "goals": [{"met": True}, {}]}))
    own.write_text(own.read_text() + '{"turns": [["new", "A newer line."]]}\n')

    model.served = ["maeve.v3"]
    model.reply = lambda _: "A kraken? The foghorn, love."
    async with talking() as talk:
        await talk.say("what is that?")
        reply = await shown_by(store, talk.place, "m1")
    (behind,) = (await traced(command, reply))["behind"]
    assert [each["name"] for each in behind["lineage"]] == ["maeve.v2", "maeve.v1"]
    states = {Path(source["path"]).name: source["state"] for source in behind["sources"]}
    assert states == {
        "votes.jsonl": "as it was",
        "dialogues.jsonl": "changed since",
        "train.jsonl": "as it was",
    }
    kinds = {
        near["row"]["chat"][near["answer"]]["content"]: near["row"]["kind"] for near in behind["nearest"]
    }
    assert kinds[good] == "liked"
    assert kinds[bad] == "disliked"
    assert any("contralto" in text for text in kinds)
    assert "kraken kraken" not in kinds
    assert behind["evaluation"] == "right about herself 88.3 (84.3 to 92.7) %, 1 of 2 goals met"
    out = (await command("trace", reply)).out
    assert "maeve.v2 (sft" in out
    assert "newer than the version" in out

    judged.unlink()
    shutil.rmtree(settings.characters / "maeve" / "adapters" / BASE / "v1")
    out = (await command("trace", reply)).out
    assert "gone" in out
    assert "its folder is not here" in out


async def test_what_a_version_held_out_it_has_not_learned(
    talking: Talking, command: Command, settings: BotSettings, store: Store
) -> None:
    own = settings.characters / "maeve" / "dialogues.jsonl"
    version(settings.characters, 1, [own], config={"held_out": 0.3}, seed=11)
    character = load_character(settings.characters / "maeve")
    learned, held_out = split(list(read_rows(own, character)), 0.3, 11)
    async with talking() as talk:
        await talk.say("hello")
        reply = await shown_by(store, talk.place, "m1")
    (source,) = (await traced(command, reply))["behind"][0]["sources"]
    assert (source["rows"], source["held_out"]) == (len(learned), len(held_out))
    card = settings.characters / "maeve" / "card.json"
    card.write_bytes(card.read_bytes() + b"\n")  # rows are told by what was rendered: now it cannot be known
    (source,) = (await traced(command, reply))["behind"][0]["sources"]
    assert (source["rows"], source["held_out"]) == (len(learned) + len(held_out), 0)


# --- near


LETTERS = st.sampled_from("雨夜 书屋 rain lamp's,。")


@given(st.lists(st.text(LETTERS, min_size=1), min_size=1, max_size=8), st.data())
def test_the_nearest_come_first_and_have_words_in_common(texts: list[str], data: st.DataObject) -> None:
    asked = data.draw(st.sampled_from(texts))
    found = Index(texts).nearest(asked, len(texts))
    scores = [near.score for near in found]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)
    shared = {near.at: set(near.shared) for near in found}
    for at, text in enumerate(texts):
        assert shared.get(at, set()) == set(words(text)) & set(words(asked))


def test_rare_words_count_more_and_chinese_is_compared_too() -> None:
    english = Index(["the lamp and the sea", "the cat and the chair", "the herring"])
    assert english.nearest("The HERRING and the", 2)[0].at == 2
    chinese = Index(["门口有毛巾，先擦擦。", "伞放桶里，别靠着书架。", "桂花米酒只给半碗。"])
    assert [near.at for near in chinese.nearest("伞放在桶里了吗", 3)] == [1]
