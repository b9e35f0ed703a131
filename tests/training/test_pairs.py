"""Rows that say which reply is better: read, refused, made, and turned into one another."""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.checks import wrong_language
from dataset_builder.schema import Message
from inference.characters import Character, load_character
from training.calibration import accuracy, calibration, temperature_of, wilson
from training.config import load_config
from training.errors import ConfigError, RowError, TrainingError
from training.made_pairs import MADE, SHARES, Asked, Foils, PairsConfig, gather, make_pairs
from training.metrics import assistant_phrases
from training.pairs import (
    VOTE,
    Conversation,
    Judged,
    Preference,
    by_weight,
    pairs_of_votes,
    read_feedback,
    votes_of_pairs,
)
from training.reward import RewardConfig

PROBES = Path(__file__).parents[2] / "training" / "probes"
ASKED = [{"role": "user", "content": "do you like rain?"}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def user(text: str) -> Conversation:
    return (Message(role="user", content=text),)


def written(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- reading


def test_all_shapes_of_rows_are_read(tmp_path: Path) -> None:
    pair = {"prompt": ASKED, "chosen": said("yes"), "rejected": said("no"), "kind": "swipe", "margin": 0.5}
    labelled = {"prompt": ASKED, "completion": said("yes"), "label": False, "weight": 2}
    thumb = {"prompt": ASKED, "reply": "yes", "vote": "up"}
    path = written(tmp_path / "rows.jsonl", pair, "", labelled, thumb)
    first, second, third = read_feedback(path)
    assert first == Preference(user("do you like rain?"), "yes", "no", "swipe", 0.5, path=path, line=1)
    assert second == Judged(user("do you like rain?"), "yes", False, 2, path=path, line=3)
    assert isinstance(third, Judged)
    assert third.good


def test_a_prompt_without_a_card_gets_hers(tmp_path: Path, character: Character) -> None:
    bare = {"prompt": ASKED, "chosen": said("yes"), "rejected": said("no")}
    own = {**bare, "prompt": [{"role": "system", "content": "somebody else"}, *ASKED]}
    with_hers, with_own = read_feedback(written(tmp_path / "rows.jsonl", bare, own), character)
    assert "Nene" in with_hers.prompt[0].content
    assert with_own.prompt[0].content == "somebody else"


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ({"prompt": ASKED}, "neither `chosen`"),
        ({"prompt": ASKED, "chosen": said("a")}, "`rejected`: Field required"),
        ({"chosen": said("a"), "rejected": said("b")}, "`prompt`: Field required"),
        ({"prompt": ASKED, "chosen": said("a"), "rejected": said("a")}, "are the same"),
        ({"prompt": ASKED, "chosen": said("a"), "rejected": said(" ")}, "empty"),
        ({"prompt": ASKED, "chosen": said("a") * 2, "rejected": said("b")}, "`chosen` is not one message"),
        ({"prompt": ASKED, "chosen": ASKED, "rejected": said("b")}, "`chosen` is not one message"),
        ({"prompt": said("x"), "chosen": said("a"), "rejected": said("b")}, "does not end with"),
        ({"prompt": ASKED * 2, "chosen": said("a"), "rejected": said("b")}, "the assistant speaks"),
        ({"prompt": [], "chosen": said("a"), "rejected": said("b")}, "does not end with"),
        ({"prompt": ASKED, "chosen": said("a"), "rejected": said("b"), "margin": -1}, "`margin`"),
        ({"prompt": ASKED, "completion": said("a"), "label": "yes"}, "`label`"),
        ({"prompt": ASKED, "completion": said("a")}, "`label`: Field required"),
        ({"prompt": ASKED, "reply": "a", "vote": "sideways"}, "`vote`"),
        ({"prompt": ASKED, "reply": "a", "vote": "up", "weight": 0}, "`weight`"),
    ],
)
def test_wrong_rows_are_refused_by_line(tmp_path: Path, row: Any, wrong: str) -> None:
    good = {"prompt": ASKED, "reply": "yes", "vote": "up"}
    with pytest.raises(RowError, match=re.escape(wrong)) as caught:
        list(read_feedback(written(tmp_path / "rows.jsonl", good, row)))
    assert caught.value.line == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere\.jsonl"):
        list(read_feedback(tmp_path / "nowhere.jsonl"))


# --- votes and pairs


def test_votes_are_paired_on_one_prompt_first() -> None:
    votes = [
        Judged(user("a"), "good a", True),
        Judged(user("b"), "good b", True),
        Judged(user("c"), "bad c", False),
        Judged(user("a"), "bad a", False),
        Judged(user("d"), "bad d", False),
    ]
    pairs = pairs_of_votes(votes, 7)
    assert {(pair.chosen, pair.rejected) for pair in pairs if not pair.rejected_prompt} == {
        ("good a", "bad a")
    }
    (across,) = [pair for pair in pairs if pair.rejected_prompt]
    assert across.chosen == "good b"
    assert across.rejected_prompt == user(across.rejected[-1])
    assert {pair.kind for pair in pairs} == {VOTE}
    assert pairs == pairs_of_votes(votes, 7)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30))
def test_no_vote_is_used_twice(drawn: list[tuple[int, bool]]) -> None:
    votes = [Judged(user(str(asked)), f"{at}", good) for at, (asked, good) in enumerate(drawn)]
    pairs = pairs_of_votes(votes, 1)
    used = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    assert len(used) == len(set(used))
    good = sum(vote.good for vote in votes)
    assert len(pairs) == min(good, len(votes) - good)
    back = votes_of_pairs(pairs)
    assert all(vote in votes for vote in back)


def test_weights_say_how_often() -> None:
    rows = [Judged(user(str(at)), "x", True, weight) for at, weight in enumerate([1.0, 3.0, 0.5] * 100)]
    counts = Counter(row.weight for row in by_weight(rows, 7))
    assert (counts[1.0], counts[3.0]) == (100, 300)
    assert 30 < counts[0.5] < 70


# --- pairs that are made


LINES = [
    "The lamp has been lit every night since my grandmother's time, and I will not forget it.",
    "Two hundred and twelve steps, and the cat takes every one of them slower than I do.",
    "If the fog comes in before supper, we ring the bell; after supper, we ring it louder.",
    "You may sit by the stove, but that chair is Bosun's.",
    "Salt keeps bread from going stale and sailors from going soft, or so they tell me.",
    "I write down every ship that passes. Somebody should remember them.",
]
FOILS = Foils(
    "en",
    others=["Bah, buy the bread or leave the shop.", "I parked my ship in orbit, dude!"],
    answers=[
        "Sunlight holds every colour. Blue is scattered most. So the sky is blue.",
        "Add salt, then stir.",
    ],
    foreign=["灯每天晚上都会亮。", "海は今日も静かです。"],
    own=LINES,
)


def asked(count: int = 24) -> list[Asked]:
    card = Message(role="system", content="You are Maeve.")
    return [Asked((card, *user(f"question {at}?")), LINES[at % len(LINES)]) for at in range(count)]


def base_says(conversations: Sequence[Conversation]) -> list[str]:
    return [f"the base answers {len(each)} messages, {each[0].content[:20]}" for each in conversations]


def make(count: int = 400, seed: int = 7, foils: Foils = FOILS) -> list[Preference]:
    return make_pairs(asked(), foils, SHARES, count, seed, base_says)


def test_every_kind_is_made_by_its_share() -> None:
    pairs = make()
    kinds = Counter(pair.kind for pair in pairs)
    assert set(kinds) == set(MADE) == set(SHARES)
    for kind in ("truncated", "assistant"):
        assert kinds[kind] == pytest.approx(400 * SHARES[kind], rel=0.3)
    assert all(pair.chosen in LINES and pair.rejected not in ("", pair.chosen) for pair in pairs)


def test_the_same_seed_makes_the_same_pairs() -> None:
    assert make() == make()
    assert make() != make(seed=8)


def test_each_wrong_reply_is_wrong_in_its_way() -> None:
    phrases = assistant_phrases(PROBES / "assistant_phrases.json")["en"]
    for pair in make():
        match pair.kind:
            case "assistant":
                assert phrases.search(pair.rejected), pair.rejected
            case "truncated":
                assert pair.chosen.startswith(pair.rejected)
                assert len(pair.rejected) < len(pair.chosen) * 0.75
            case "repeated":
                words = pair.rejected.split()
                assert any(words[at : at + 2] in ([*_twos(words[:at])]) for at in range(2, len(words) - 1))
            case "shuffled":
                assert pair.rejected in LINES
            case "language":
                assert wrong_language(pair.rejected, "en")


def _twos(words: Sequence[str]) -> list[Sequence[str]]:
    return [words[at : at + 2] for at in range(len(words) - 1)]


def test_assistants_speak_in_many_ways() -> None:
    replies = [pair.rejected for pair in make(2000) if pair.kind == "assistant"]
    assert len(set(replies)) > 60, "even of two answers"


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_every_assistant_frame_is_an_assistants(language: str) -> None:
    phrases = assistant_phrases(PROBES / "assistant_phrases.json")[language]
    frames = json.loads((PROBES / "assistant_frames.json").read_text(encoding="utf-8"))[language]
    for line in (*frames["openings"], *frames["closings"]):
        assert phrases.search(line), line
        assert wrong_language(line, language) is None, line
    for line in json.loads((PROBES / "strangers.json").read_text(encoding="utf-8"))[language]:
        assert wrong_language(line, language) is None, line


def test_the_base_is_asked_with_the_card_and_without_and_as_a_stranger() -> None:
    heard: list[Conversation] = []

    def speak(conversations: Sequence[Conversation]) -> list[str]:
        heard.extend(conversations)
        return base_says(conversations)

    make_pairs(asked(), FOILS, {"base": 0.5, "other": 0.5}, 40, 7, speak)
    cards = Counter(each[0].content if each[0].role == "system" else "" for each in heard)
    assert cards["You are Maeve."] == cards[""] == 10
    assert sum(count for card, count in cards.items() if card not in ("", "You are Maeve.")) == 10


def test_what_cannot_be_made_is_left_out() -> None:
    nothing = Foils("en", own=LINES)
    kinds = {pair.kind for pair in make_pairs(asked(), nothing, {"language": 1.0}, 20, 7, base_says)}
    assert kinds == set()


# --- all of it


def test_no_dialogue_is_on_both_sides(character: Character) -> None:
    pairs = gather(PairsConfig(held_out=0.3, made=200, unseen=100), character, 7, base_says)
    left = {(*tuple(pair.prompt[:2]), pair.chosen) for pair in pairs.learned}
    right = {(*tuple(pair.prompt[:2]), pair.chosen) for pair in pairs.held_out}
    assert left
    assert right
    assert not left & right
    for kind in ("assistant", "language"):
        wrong = [
            {pair.rejected for pair in side if pair.kind == kind} for side in (pairs.learned, pairs.held_out)
        ]
        assert all(wrong), kind
        if kind == "language":
            assert not wrong[0] & wrong[1], "the lines of others are split, too"
    assert pairs == gather(PairsConfig(held_out=0.3, made=200, unseen=100), character, 7, base_says)


def test_characters_beside_her_are_others_or_foreigners(character: Character) -> None:
    for name, language, line in (
        ("bob", "en", "bob says beans"),
        ("lin", "zh", "今天的灯塔很安静，海也很安静。"),
    ):
        folder = character.folder.parent / name
        folder.mkdir()
        card = {"name": name, "extensions": {"chatnvl": {"language": language}}}
        whole = {"spec": "chara_card_v3", "spec_version": "3.0", "data": card}
        (folder / "card.json").write_text(json.dumps(whole), encoding="utf-8")
        assert load_character(folder).language == language
        rows = [json.dumps({"turns": [[f"hi {at}", f"{line} {at}"]]}) for at in range(40)]
        (folder / "dialogues.jsonl").write_text("\n".join(rows), encoding="utf-8")
    pairs = gather(PairsConfig(made=400, unseen=0), character, 7, base_says).learned
    others = [pair.rejected for pair in pairs if pair.kind == "other"]
    assert any(line.startswith("bob says beans") for line in others)
    assert not any("灯塔" in line for line in others)
    assert any("灯塔" in pair.rejected for pair in pairs if pair.kind == "language")


def test_given_rows_are_split_by_dialogue(character: Character, tmp_path: Path) -> None:
    rows = []
    for at in range(60):
        prompt = [{"role": "user", "content": f"dialogue {at // 3}"}]
        for turn in range(at % 3):
            prompt += [*said(f"turn {turn}"), {"role": "user", "content": f"then {turn}?"}]
        rows.append({"prompt": prompt, "chosen": said("yes"), "rejected": said("no")})
    config = PairsConfig(data=(written(tmp_path / "given.jsonl", *rows),), made=0, unseen=0, held_out=0.4)
    pairs = gather(config, character, 7, base_says)
    assert len(pairs.learned) + len(pairs.held_out) == 60
    left, right = ({pair.prompt[1].content for pair in side} for side in (pairs.learned, pairs.held_out))
    assert left
    assert right
    assert not left & right


def test_naming_one_share_leaves_the_others() -> None:
    config = load_config(RewardConfig, None, ["character=x", "pairs.shares.base=0"])
    assert config.pairs.shares == {**SHARES, "base": 0}
    assert RewardConfig(character=Path("x")).pairs.shares == SHARES


def test_an_unknown_kind_is_named(character: Character) -> None:
    config = load_config(RewardConfig, None, ["character=x", "pairs.shares.charm=0.5"])
    with pytest.raises(ConfigError, match="`charm` can be made"):
        gather(config.pairs, character, 7, base_says)


# --- how far margins can be believed


def test_wilson_is_wilsons() -> None:
    assert wilson(3, 3) == pytest.approx((0.4385, 1.0), abs=1e-3)
    assert wilson(70, 100) == pytest.approx((0.6042, 0.7811), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share(count: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, count))
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1


def test_accuracy_counts_a_tie_as_wrong() -> None:
    found = accuracy([1.0, -1.0, 0.0, 2.0])
    assert (found.value, found.n, found.margin) == (0.5, 4, 0.5)


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_the_temperature_makes_margins_log_odds(scale: float) -> None:
    """Margins whose odds are known: a pair is right as often as the sigmoid of its margin says."""
    order = random.Random(5)
    margins = []
    for _ in range(20_000):
        true = order.gauss(0, 2)
        right = order.random() < 1 / (1 + 2.718281828 ** -abs(true))
        margins.append(scale * (abs(true) if right else -abs(true)))
    found = temperature_of(margins)
    assert found == pytest.approx(scale, rel=0.1)
    told = calibration(margins, found)
    assert told.error < 0.02
    if scale != 1:
        assert told.error_before > 0.05
    assert sum(each.n for each in told.bins) == len(margins)
    assert all(each.low <= each.confidence <= each.high for each in told.bins)


def test_pairs_that_are_all_right_have_a_bounded_temperature() -> None:
    assert 0.01 < temperature_of([1.0, 2.0]) < 0.1
