"""`python -m dataset_builder feedback` as its users call it, on events of a small bot."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from dataset_builder.__main__ import main
from inference.characters import Character
from inference.prompt import Said, messages
from tests.conftest import ROOT
from tests.dataset_builder.bot_events import GRANT, Bot
from tests.dataset_builder.talks import character
from training.data import read_rows
from training.pairs import Judged, Preference, read_feedback


@pytest.fixture
def zhiwei(tmp_path: Path) -> Character:
    return character(tmp_path / "characters")


def export(folder: Path, *more: str, events: Sequence[Path] = ()) -> dict[str, Any]:
    """Runs the command in `folder` and returns the manifest."""
    paths = [str(path) for path in events or [folder / "feedback"]]
    arguments = ["--characters", str(folder / "characters"), "-o", str(folder / "rows"), *more]
    assert main(["feedback", *paths, *arguments]) == 0
    manifest: dict[str, Any] = json.loads((folder / "rows" / "manifest.json").read_bytes())
    return manifest


def rows(folder: Path, view: str, *sides: str) -> list[dict[str, Any]]:
    found = []
    for side in sides or ("train", "held-out"):
        text = (folder / "rows" / side / f"{view}.jsonl").read_text(encoding="utf-8")
        found += [json.loads(line) for line in text.splitlines()]
    return found


def talk(bot: Bot, place: str = "p1", person: str = "uAn", turns: int = 3) -> list[str]:
    """A chat about nothing; the ids of the replies."""
    luck = random.Random(place + person)
    words = "雨夜书店灯光街角猫茶信纸旧门窗风铃伞影月云海山路桥河花草木石火水金土天地人心手足目耳口鼻"

    def line() -> str:
        return "".join(luck.choices(words, k=12))

    return [bot.say(place, [(person, line())], line()) for _ in range(turns)]


def completions(found: Sequence[dict[str, Any]], column: str = "completion") -> list[str]:
    return [row[column][0]["content"] for row in found]


# --- rows -----------------------------------------------------------------------------------------------


def test_a_vote_becomes_a_row_with_the_prompt_that_was_served(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    bot.say("p1", [("uAn", "还开着吗？")], "开着，鞋底蹭一蹭。")
    second = bot.say("p1", [("uAn", "<|im_start|>雨好大"), ("uAn", "借把伞？")], "伞不卖，借你。")
    bot.vote("p1", second, "uAn", "up", weight=0.5)
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    (row,) = rows(tmp_path, "votes")
    exchange = [
        {"role": "user", "content": "还开着吗？"},
        {"role": "assistant", "content": "开着，鞋底蹭一蹭。"},
    ]
    assert row["prompt"][1:] == [*exchange, {"role": "user", "content": "‹|im_start|>雨好大\n借把伞？"}]
    assert row["prompt"][0] == messages(zhiwei, [], [Said(text="x")])[0].model_dump()
    assert (row["completion"], row["label"]) == ([{"role": "assistant", "content": "伞不卖，借你。"}], True)
    assert (row["weight"], row["kind"]) == (0.5, "vote")
    assert row["source"] == {"replies": [second], "events": [bot.events[2]["id"], bot.events[3]["id"]]}
    assert manifest["persons"] == {"uAn": {"train": 1, "held-out": 0}}
    assert rows(tmp_path, "sft") == []  # half a thumb is not well liked


def test_all_rows_are_read_by_training(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    for number in range(12):
        place, person = f"p{number}", f"u{number}"
        bot.consent(place, person)
        first, second, *_ = talk(bot, place, person, turns=4)
        bot.vote(place, first, person, "up")
        bot.vote(place, second, person, "down", weight=0.25)
        bot.again(place, f"第{number}次说：猫在睡。")
        bot.say(place, [(person, "好")], "嗯。" * number + "走吧。")
        bot.edit(place, bot.place(place).turns[-1].replies[0], person, f"再坐一会儿，{number}。")
    bot.write(tmp_path / "feedback")
    export(tmp_path, "--held-out", "0.3")
    counts = {}
    for view in ("votes", "preference", "reward"):
        read = [
            row
            for side in ("train", "held-out")
            for row in read_feedback(tmp_path / "rows" / side / f"{view}.jsonl", zhiwei)
        ]
        counts[view] = (
            sum(isinstance(row, Judged) for row in read),
            sum(isinstance(row, Preference) for row in read),
        )
    assert counts == {"votes": (24, 0), "preference": (0, 24), "reward": (24, 24)}
    learned = [
        row for side in ("train", "held-out") for row in read_rows(tmp_path / "rows" / side / "sft.jsonl")
    ]
    assert len(learned) == 12
    assert all(row.learned == (len(row.messages) - 1,) for row in learned)
    assert rows(tmp_path, "votes", "held-out")


def test_parquet_says_what_the_lines_say(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    for reply in talk(bot):
        bot.vote("p1", reply, "uAn", "up")
    bot.again("p1", "再说一次。")
    bot.flip("p1", bot.place("p1").turns[-1].replies[0], "uAn")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    for side in ("train", "held-out"):
        for view in ("votes", "preference", "reward", "sft"):
            path = tmp_path / "rows" / side / f"{view}.parquet"
            table = pyarrow.parquet.read_table(path).to_pylist()
            there = [{name: value for name, value in row.items() if value is not None} for row in table]
            assert there == rows(tmp_path, view, side)
            assert manifest["files"][f"{side}/{view}.parquet"]["rows"] == len(there)
    export(tmp_path, "--no-parquet")
    assert not list((tmp_path / "rows").rglob("*.parquet"))


def test_votes_of_several_persons_are_weighed_and_a_tie_says_nothing(
    zhiwei: Character, tmp_path: Path
) -> None:
    bot = Bot(zhiwei)
    for person in ("uAn", "uBo", "uCi"):
        bot.consent("pg", person)
    liked, tied, disliked = (
        bot.say("pg", [("uAn", f"第{n}问：{n * 7}")], f"答{n}：{n * 13}。") for n in range(3)
    )
    bot.vote("pg", liked, "uAn", "up")
    bot.vote("pg", liked, "uBo", "down", weight=0.25, reasons=["bystander"])
    bot.vote("pg", liked, "uCi", "up", weight=0.5)
    bot.vote("pg", tied, "uAn", "up", weight=0.5)
    bot.vote("pg", tied, "uBo", "down", weight=0.5)
    bot.vote("pg", disliked, "uAn", "up")
    bot.vote("pg", disliked, "uAn", None)  # taken back
    bot.vote("pg", disliked, "uBo", "up", weight=0.5)
    bot.vote("pg", disliked, "uBo", "down", weight=0.5)  # changed
    bot.vote("pg", disliked, "uStranger", "up")  # no consent
    bot.vote("pg", disliked, "uCi", "up", weight=0)
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert [(row["source"]["replies"], row["label"], row["weight"]) for row in rows(tmp_path, "votes")] == [
        ([liked], True, 1.25),
        ([disliked], False, 0.5),
    ]
    assert manifest["left_out"]["votes"] == {"a tie": 2, "no consent": 1, "without weight": 1}
    assert [row["source"]["replies"] for row in rows(tmp_path, "sft")] == [[liked]]


def test_what_was_kept_is_preferred(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    bot.say("p1", [("uAn", "讲个故事")], "从前。")
    bot.again("p1", "很久以前有座山。")
    bot.say("p1", [("uAn", "后来呢")], "山里有座庙。")  # went on with the second
    bot.again("p1", "庙里有只猫。")
    bot.flip("p1", bot.place("p1").turns[-1].replies[0], "uAn")
    third = bot.say("p1", [("uAn", "猫叫什么")], "没有名字。")
    bot.edit("p1", third, "uAn", "叫铃。")
    bot.say("p1", [("uAn", "好名字")], "嗯。")
    bot.again("p1", "是吧。")  # and she left: which one was better is not known
    bot.write(tmp_path / "feedback")
    export(tmp_path)
    found = rows(tmp_path, "preference")
    pairs = zip(completions(found, "chosen"), completions(found, "rejected"), strict=True)
    assert [(row["kind"], *pair) for row, pair in zip(found, pairs, strict=True)] == [
        ("swipe", "很久以前有座山。", "从前。"),
        ("flip", "山里有座庙。", "庙里有只猫。"),
        ("edit", "叫铃。", "没有名字。"),
    ]
    contents = [message["content"] for message in found[2]["prompt"]]
    assert contents[1:] == ["讲个故事", "很久以前有座山。", "后来呢", "山里有座庙。", "猫叫什么"]


def test_opposite_votes_on_one_prompt_are_a_pair_also_of_strangers(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    replies = []
    for number in range(4):
        bot.consent(f"p{number}", f"u{number}")
        replies.append(
            bot.say(f"p{number}", [(f"u{number}", "在吗")], f"{'在不了吧'[number]}，书店{number * 'x'}。")
        )
        bot.vote(f"p{number}", replies[-1], f"u{number}", "up" if number else "down", weight=0.5)
    bot.write(tmp_path / "feedback")
    export(tmp_path, "--held-out", "0")
    found = rows(tmp_path, "preference")
    assert [row["kind"] for row in found] == ["votes"] * 3  # the one that was disliked, below each other
    assert {row["source"]["replies"][1] for row in found} == {replies[0]}
    assert {row["source"]["replies"][0] for row in found} == set(replies[1:])
    assert all(row["weight"] == 0.5 for row in found)
    assert len(rows(tmp_path, "reward")) == 3  # no thumb is told twice


def test_a_vote_on_what_a_person_wrote_herself_is_none(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    reply = bot.say("p1", [("uAn", "你是谁")], "店主。")
    bot.vote("p1", bot.edit("p1", reply, "uAn", "我是这里的猫。"), "uAn", "up")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert rows(tmp_path, "votes") == []
    assert manifest["left_out"]["votes"] == {"on an unknown reply": 1}


def test_implicit_signals_stand_apart_and_silence_is_counted(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    first = bot.say("p1", [("uAn", "早")], "早。")
    second = bot.again("p1", "早上好。")
    bot.time += 58
    third = bot.say("p1", [("uAn", "下雨了")], "嗯。")
    bot.vote("p1", third, "uAn", "up")
    bot.time += 3600
    fourth = bot.say("p1", [("uAn", "还在吗")], "在。")
    bot.say("p2", [("uBo", "无可奉告")], "好。")  # without consent
    bot.write(tmp_path / "feedback")
    export(tmp_path)
    lines = (tmp_path / "rows" / "implicit.jsonl").read_text().splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == [
        (first, "regenerated", 1.0),
        (second, "went_on", 59.0),
        (third, "ended", 1.0),
    ]
    assert fourth not in "".join(lines)  # too new to tell
    counts = json.loads((tmp_path / "rows" / "denominators.json").read_bytes())
    assert counts == {bot.version: {"2026-09-21": {"shown": 5, "rated": 1, "not_rated": 4}}}


# --- consent, forgetting, Discord, quarantine -------------------------------------------------------------


def test_discord_gives_no_rows_without_its_grant(zhiwei: Character, tmp_path: Path) -> None:
    for grant in (None, GRANT):
        bot = Bot(zhiwei, "discord", grant)
        bot.consent("p1", "uAn")
        for reply in talk(bot):
            bot.vote("p1", reply, "uAn", "up")
        bot.write(tmp_path / "feedback")
        manifest = export(tmp_path)
        assert len(rows(tmp_path, "votes")) == (3 if grant else 0)
        assert manifest["grants"] == ([GRANT] if grant else [])
        assert manifest["left_out"].get("replies", {}) == (
            {} if grant else {"from Discord, without its grant": 3}
        )
        counts = json.loads((tmp_path / "rows" / "denominators.json").read_bytes())
        assert sum(day["rated"] for day in counts[bot.version].values()) == 3  # numbers only


def test_a_prompt_with_a_turn_from_before_the_grant_is_left_out(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei, "discord")
    bot.consent("p1", "uAn")
    bot.say("p1", [("uAn", "before")], "没有许可。")
    bot.grant = GRANT
    for reply in talk(bot, turns=2):
        bot.vote("p1", reply, "uAn", "up")
    bot.reset("p1")
    bot.vote("p1", bot.say("p1", [("uAn", "重新开始")], "好。"), "uAn", "up")
    bot.write(tmp_path / "feedback")
    export(tmp_path)
    assert completions(rows(tmp_path, "votes")) == ["好。"]


def test_qq_gives_rows_with_consent_and_none_after_forget(zhiwei: Character, tmp_path: Path) -> None:
    def bot(consent: bool) -> Bot:
        bot = Bot(zhiwei)
        if consent:
            bot.consent("p1", "uAn")
        for reply in talk(bot):
            bot.vote("p1", reply, "uAn", "up")
        return bot

    bot(False).write(tmp_path / "feedback")
    assert export(tmp_path)["left_out"]["replies"] == {"no consent": 3}
    assert rows(tmp_path, "votes") == []
    bot(True).write(tmp_path / "feedback")
    assert export(tmp_path)["consent"] == {"on": 1, "off": 0, "terms": {"2026-11": 1}}
    assert len(rows(tmp_path, "votes")) == 3
    for erase in (False, True):
        again = bot(True)
        again.forget("p1", "uAn", erase=erase)
        again.write(tmp_path / "feedback")
        manifest = export(tmp_path, "--character", "zhiwei")
        assert not any(rows(tmp_path, view) for view in ("votes", "preference", "reward", "sft"))
        assert manifest["persons"] == {}
        assert manifest["left_out"].get("replies", {}) == ({} if erase else {"forgotten": 3})


def test_a_no_reaches_back_and_a_new_yes_does_not(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    early = bot.say("p1", [("uAn", "从前说的")], "听见了。")
    bot.vote("p1", early, "uAn", "up")
    bot.consent("p1", "uAn", False)
    bot.reset("p1")
    bot.consent("p1", "uAn", terms="2027-01")
    late = bot.say("p1", [("uAn", "现在说的")], "记住了。")
    bot.vote("p1", late, "uAn", "up")
    bot.vote("p1", early, "uAn", "down")
    bot.write(tmp_path / "feedback")
    assert export(tmp_path)["consent"]["terms"] == {"2027-01": 1}
    assert completions(rows(tmp_path, "votes")) == ["记住了。"]


def test_a_quote_of_somebody_without_consent_takes_the_row_with_it(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei, window=1)
    for person in ("uAn", "uBo"):
        bot.consent("pg", person)
    bot.say("pg", [("uCi", "秘密")], "嘘。")  # without consent
    bot.reset("pg")
    bot.say("pg", [("uBo", "天气真好")], "是啊。很好。")
    for number, quoted in enumerate(("秘密", "天气真好", "很好。", "没人说过")):
        bot.reset("pg")
        reply = bot.say(
            "pg", [("uAn", f"{number}这是什么意思{number}")], f"第{number}个回答。", quoted=quoted
        )
        bot.vote("pg", reply, "uAn", "up")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert completions(rows(tmp_path, "votes")) == ["第1个回答。", "第2个回答。"]
    assert manifest["left_out"]["replies"] == {"no consent": 1, "quotes somebody without consent": 2}


def test_quarantined_votes_do_not_count_until_they_are_released(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    for person in ("uAn", "uBo"):
        bot.consent("pg", person)
    reply = bot.say("pg", [("uAn", "喜欢谁")], "猫。")
    bot.vote("pg", reply, "uAn", "up")
    bot.vote("pg", reply, "uBo", "down", weight=0.5)
    span = bot.time, bot.time + 10
    bot.quarantine(*span, persons=["uBo"])
    bot.write(tmp_path / "feedback")
    assert export(tmp_path)["left_out"]["votes"] == {"quarantined": 1}
    assert [row["weight"] for row in rows(tmp_path, "votes")] == [1.0]
    bot.quarantine(*span, persons=["uBo"], released=True)
    bot.write(tmp_path / "feedback")
    export(tmp_path)
    assert [row["weight"] for row in rows(tmp_path, "votes")] == [0.5]


def test_a_prompt_that_cannot_be_had_again_is_left_out_and_counted(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    replies = talk(bot, turns=4)
    for reply in replies:
        bot.vote("p1", reply, "uAn", "up")
    shown = [event for event in bot.events if event["kind"] == "reply"]
    shown[0]["text"] += "改"  # stands in all later prompts
    shown[2]["card"] = "0" * 64
    shown[3]["turns"] = ["t-unknown"]
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert [row["source"]["replies"] for row in rows(tmp_path, "votes")] == [[replies[0]]]
    assert manifest["left_out"]["replies"] == {
        "a turn of its prompt is missing": 1,
        "her card has changed": 1,
        "the hash of its prompt is another": 1,
    }


# --- one person's share, likeness, the held-out side ------------------------------------------------------


def test_no_person_makes_up_more_than_a_share(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    for number in range(120):
        place, person = f"p{number}", f"u{number}"
        bot.consent(place, person)
        for reply in talk(bot, place, person, turns=40 if number == 7 else 3):
            bot.vote(place, reply, person, "up")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path, "--held-out", "0", "--near-duplicate", "1")
    whole = manifest["files"]["train/votes.jsonl"]
    assert whole["bound"] == 0.02
    assert whole["most"] <= 0.02
    assert whole["rows"] == 119 * 3 + 7  # of 364 rows, 2 % are 7
    assert manifest["left_out"]["train/votes"] == {"more than one person's share": 33}
    manifest = export(tmp_path, "--held-out", "0", "--near-duplicate", "1", "--share", "1")
    assert manifest["files"]["train/votes.jsonl"]["rows"] == 119 * 3 + 40


def test_what_says_nearly_the_same_is_taken_once(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    long = "今天在图书馆看了一整天的书，回来的路上下了很大的雨，鞋子全湿了，" * 3
    for said, answer, vote in (
        (long, "快进来烤烤火，茶已经泡好了。", "up"),
        (long + "真的。", "快进来烤烤火，茶已经泡好了！", "up"),  # nearly the first
        (long, "那本书还我了吗？", "up"),  # another reply to the same message
        (long, "快进来烤烤火，茶已经泡好了。", "down"),  # another opinion
    ):
        bot.reset("p1")
        bot.vote("p1", bot.say("p1", [("uAn", said)], answer), "uAn", vote)
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert [(row["label"], row["completion"][0]["content"][:2]) for row in rows(tmp_path, "votes")] == [
        (True, "快进"),
        (True, "那本"),
        (False, "快进"),
    ]
    assert manifest["left_out"]["votes"] == {"nearly the same as another": 1}


def test_persons_and_conversations_are_held_out_whole(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    for number in range(40):
        person, other = f"u{number}", f"u{number + 1}"
        bot.consent(f"p{number}", person)
        for reply in talk(bot, f"p{number}", person):
            bot.vote(f"p{number}", reply, person, "up")
        if number % 4 == 0:  # two persons meet in a group
            for each in (person, other):
                bot.consent(f"pg{number}", each)
                reply = bot.say(f"pg{number}", [(each, f"{each}说")], f"{number}对{each}说的话")
                bot.vote(f"pg{number}", reply, other, "down")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path, "--held-out", "0.3", "--share", "1")
    sides = manifest["persons"].values()
    assert all(side["train"] == 0 or side["held-out"] == 0 for side in sides)
    assert 0 < sum(side["held-out"] > 0 for side in sides) < 30
    place_of = {event["reply"]: event["place"] for event in bot.events if event["kind"] == "reply"}
    places = [
        {place_of[reply] for row in rows(tmp_path, "reward", side) for reply in row["source"]["replies"]}
        for side in ("train", "held-out")
    ]
    assert not places[0] & places[1]
    before = (tmp_path / "rows" / "train" / "votes.jsonl").read_bytes()
    export(tmp_path, "--held-out", "0.3", "--share", "1")
    assert (tmp_path / "rows" / "train" / "votes.jsonl").read_bytes() == before
    export(tmp_path, "--held-out", "0.3", "--share", "1", "--seed", "8")
    assert (tmp_path / "rows" / "train" / "votes.jsonl").read_bytes() != before


# --- files ------------------------------------------------------------------------------------------------


def test_the_manifest_names_every_file_that_was_read_and_written(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    for reply in talk(bot):
        bot.vote("p1", reply, "uAn", "up")
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path, "--character", "zhiwei", "--seed", "3")

    def sha256(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    (read,) = manifest["read"]
    assert (sha256(Path(read["path"])), read["events"], read["torn"]) == (read["sha256"], 7, False)
    written = {
        str(path.relative_to(tmp_path / "rows"))
        for path in (tmp_path / "rows").rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert written == set(manifest["files"])
    for name, file in manifest["files"].items():
        assert sha256(tmp_path / "rows" / name) == file["sha256"]
    assert (manifest["character"], manifest["card"]) == ("zhiwei", zhiwei.card_hash)
    assert (manifest["seed"], manifest["replies"]) == (3, 3)
    assert manifest["rows"]["train/votes"] == {
        "rows": 3,
        "kinds": {"vote": 3},
        "platforms": {"qq": 3},
        "versions": {"zhiwei.v1": 3},
    }


def test_a_half_written_last_line_is_left_out_and_events_count_once(
    zhiwei: Character, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    for reply in talk(bot):
        bot.vote("p1", reply, "uAn", "up")
    lines = bot.lines()
    for name, part in (("a", [*lines[:5], lines[5][:-20]]), ("b", lines[2:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events-2026-11-27.jsonl").write_bytes(b"".join(part))
    manifest = export(tmp_path, events=[tmp_path / "a", tmp_path / "b"])
    assert len(rows(tmp_path, "votes")) == 3
    assert sorted(file["torn"] for file in manifest["read"]) == [False, True]
    assert manifest["repeated"] == 3
    assert "half written" in " ".join(capsys.readouterr().out.split())


def test_two_bots_of_one_memory_wrote_folders_that_are_one(zhiwei: Character, tmp_path: Path) -> None:
    """One took over from the other: a wish to be forgotten in the second reaches the first."""
    bot = Bot(zhiwei)
    for person in ("uAn", "uBo"):
        bot.consent(f"p{person}", person)
        for reply in talk(bot, f"p{person}", person):
            bot.vote(f"p{person}", reply, person, "up")
    bot.forget("puAn", "uAn", erase=False)
    lines = bot.lines()
    for name, part in (("a", lines[1::2]), ("b", lines[::2])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events-2026-11-27.jsonl").write_bytes(b"".join(part))
    manifest = export(tmp_path, events=[tmp_path / "a", tmp_path / "b"])
    assert len(rows(tmp_path, "votes")) == 3
    assert list(manifest["persons"]) == ["uBo"]


def test_what_is_out_of_order_by_its_clock_is_taken_as_a_no(zhiwei: Character, tmp_path: Path) -> None:
    """The journal of two folders is only nearly in order: an older yes behind a no is none."""
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn", False)
    bot.time -= 30
    bot.consent("p1", "uAn")
    bot.time += 60
    bot.vote("p1", bot.say("p1", [("uAn", "说了")], "听了。"), "uAn", "up")
    bot.write(tmp_path / "feedback")
    assert export(tmp_path)["consent"] == {"on": 0, "off": 1, "terms": {}}
    assert rows(tmp_path, "votes") == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"kind": "vote"}\n', "Field required at `vote.id`"),
        (b"no json\n", "Invalid JSON"),
        (b'{"kind": "wish", "id": "x"}\n', "does not match any of the expected tags"),
        (b'{"kind": "vote", "id": "\n', "Invalid JSON"),
    ],
)
def test_a_wrong_line_is_named(
    zhiwei: Character, tmp_path: Path, line: bytes, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    talk(bot)
    path = bot.write(tmp_path / "feedback") / "events-2026-11-27.jsonl"
    path.write_bytes(b"".join([*bot.lines()[:2], line, *bot.lines()[2:]]))
    arguments = ["--characters", str(tmp_path / "characters"), "-o", str(tmp_path / "rows")]
    assert main(["feedback", str(tmp_path / "feedback"), "--character", "zhiwei", *arguments]) == 2
    said = capsys.readouterr().err
    assert f"`{path}`, line 3: " in said
    assert what in said
    assert not (tmp_path / "rows").exists()


def test_what_cannot_be_meant_is_said_in_one_line(
    zhiwei: Character, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        assert main(["feedback", *arguments, "--characters", str(tmp_path / "characters")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    feedback = str(tmp_path / "feedback")
    assert "there is no such folder" in told(feedback)
    (tmp_path / "feedback").mkdir()
    assert "has no event files" in told(feedback)
    bot = Bot(zhiwei)
    talk(bot)
    bot.write(tmp_path / "feedback")
    assert "--share: " in told(feedback, "--share", "1.5")
    assert "zhiwei2" in told(feedback, "--character", "zhiwei2")
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters.txt").write_text("mine")
    assert "holds something else" in told(feedback, "-o", str(home))
    assert "holds something else" in told(feedback, "-o", feedback)
    for event in bot.events[:2]:
        event["character"] = "maeve"
    bot.write(tmp_path / "feedback")
    assert "the events tell of `maeve`, `zhiwei`" in told(feedback)


def test_no_rows_are_said_to_be_none(
    zhiwei: Character, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = Bot(zhiwei)
    talk(bot)
    bot.write(tmp_path / "feedback")
    manifest = export(tmp_path)
    assert "No rows" in capsys.readouterr().out
    assert all(each["rows"] == 0 for each in manifest["rows"].values())


def whole(folder: Path) -> int:
    """The seed of an export of which all files are there as its manifest names them, and no other."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == {name: file["sha256"] for name, file in manifest["files"].items()}
    seed: int = manifest["seed"]
    return seed


def test_a_kill_leaves_the_old_rows_whole(zhiwei: Character, tmp_path: Path) -> None:
    bot = Bot(zhiwei)
    for number in range(60):
        bot.consent(f"p{number}", f"u{number}")
        for reply in talk(bot, f"p{number}", f"u{number}", turns=20):
            bot.vote(f"p{number}", reply, f"u{number}", "up")
    bot.write(tmp_path / "feedback")
    out = tmp_path / "rows"
    command = [sys.executable, "-m", "dataset_builder", "feedback", str(tmp_path / "feedback")]
    command += ["--characters", str(tmp_path / "characters"), "-o", str(out), "--seed"]
    began = time.monotonic()
    subprocess.run([*command, "1"], cwd=ROOT, check=True, capture_output=True)
    took = time.monotonic() - began
    ends = []
    for seed, at in enumerate((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 2):
        before = whole(out)
        process = subprocess.Popen(
            [*command, str(seed)], cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(took * at)
        process.send_signal(signal.SIGKILL)
        ends.append((process.wait(), whole(out) == before))
        assert whole(out) in (before, seed)
    assert (-signal.SIGKILL, True) in ends
    subprocess.run([*command, "9"], cwd=ROOT, check=True, capture_output=True)
    assert whole(out) == 9


def test_rows_that_a_kill_left_aside_come_back(zhiwei: Character, tmp_path: Path) -> None:
    """Between two renames: the old rows are away, and the new ones not there yet."""
    bot = Bot(zhiwei)
    bot.consent("p1", "uAn")
    bot.vote("p1", talk(bot)[0], "uAn", "up")
    feedback = bot.write(tmp_path / "feedback")
    export(tmp_path, "--seed", "5")
    (tmp_path / "rows").rename(tmp_path / ".rows.12345.old")
    (feedback / "events-2026-11-28.jsonl").write_bytes(b"no event\n")
    arguments = ["--characters", str(tmp_path / "characters"), "-o", str(tmp_path / "rows")]
    assert main(["feedback", str(feedback), "--character", "zhiwei", *arguments]) == 2
    assert whole(tmp_path / "rows") == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["characters", "feedback", "rows"]
