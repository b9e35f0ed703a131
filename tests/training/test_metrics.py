"""Figures and their intervals, and what is counted in a line."""

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import metrics
from training.ability import PROBES
from training.errors import TrainingError
from training.metrics import (
    Speaker,
    assistant_phrases,
    bleu4,
    bootstrap,
    catch_phrases,
    chrf,
    gain,
    mean,
    perplexity,
    perplexity_drop,
    phrases_in,
    purity,
    repetition,
    rouge1,
    rouge_l,
    rouge_n,
    share,
    usual_length,
    words,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=30)
lines = st.text("雨书店门灯吗你我，。 ab", min_size=1, max_size=12)


# rouge_chinese on jieba's words, NLTK's sentence_bleu with method3 on characters, sacreBLEU's chrF
@pytest.mark.parametrize(
    ("reply", "own", "rouge", "bleu", "chrf2"),
    [
        (
            "今晚雨大，你先坐一会儿再走。",
            "雨停之前你先坐着，伞放桶里。",
            (0.5, 0.222222, 0.4),
            0.125712,
            0.110958,
        ),
        (
            "那本书在最里面的架子上。",
            "书在里面第三个架子。",
            (0.571429, 0, 0.571429),
            0.121921,
            0.165373,
        ),
        ("嗯。", "别走，雨还没停。", (0.222222, 0, 0.222222), 0.014802, 0.073529),
    ],
)
def test_nearness_is_that_of_the_libraries_that_others_use(
    reply: str, own: str, rouge: tuple[float, ...], bleu: float, chrf2: float
) -> None:
    said, hers = words(reply, "zh"), words(own, "zh")
    assert (rouge_n(said, hers, 1), rouge_n(said, hers, 2), rouge_l(said, hers)) == pytest.approx(
        rouge, abs=1e-5
    )
    assert bleu4(list(reply), list(own)) == pytest.approx(bleu, abs=1e-5)
    assert chrf(reply, own) == pytest.approx(chrf2, abs=1e-5)


@given(lines, lines)
def test_nearness_is_between_nothing_and_the_same(one: str, other: str) -> None:
    said, hers = words(one, "ja"), words(other, "ja")
    for value in (rouge_n(said, hers, 1), rouge_l(said, hers), bleu4(said, hers), chrf(one, other)):
        assert 0 <= value <= 1 + 1e-9
    assert rouge_n(said, hers, 2) == rouge_n(hers, said, 2)
    assert rouge_l(said, hers) == rouge_l(hers, said)
    assert rouge_l(said, hers) <= 1 if said != hers else rouge_l(said, hers) == (1 if said else 0)


def test_what_shares_nothing_or_is_empty_is_not_near() -> None:
    assert rouge1("the kettle", "a storm", "en") == 0
    assert bleu4([], list("a storm")) == chrf("", "a storm") == rouge_l([], ["a"]) == 0
    assert bleu4(list("storm"), list("storm")) == chrf("storm", "storm") == pytest.approx(1)


def test_english_words_know_no_case_and_keep_their_apostrophe() -> None:
    assert words("The kettle's ON, over.", "en") == ["the", "kettle's", "on", ",", "over", "."]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random_, held = random.Random(1), 0
    for _ in range(200):
        sample = [random_.gauss(3, 2) for _ in range(60)]
        figure = mean(sample)
        held += figure.low <= 3 <= figure.high
    assert 0.90 <= held / 200 <= 0.985


@given(numbers)
def test_a_mean_lies_in_its_interval_and_that_in_the_values(values: list[float]) -> None:
    figure = mean(values)
    assert figure.n == len(values)
    assert min(values) - 1e-9 <= figure.low <= figure.high <= max(values) + 1e-9
    assert figure.value == pytest.approx(sum(values) / len(values), abs=1e-9)


@given(numbers)
def test_what_was_said_in_one_dialogue_is_one_draw(values: list[float]) -> None:
    twice = [value for value in values for _ in range(2)]
    dialogues = [at for at in range(len(values)) for _ in range(2)]
    together, alone = mean(twice, dialogues), mean(values)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


def test_dependent_lines_make_a_wider_interval_than_as_many_independent_ones() -> None:
    values = [float(at // 5) for at in range(50)]
    dependent, independent = mean(values, [at // 5 for at in range(50)]), mean(values)
    assert dependent.high - dependent.low > 1.5 * (independent.high - independent.low)


def test_two_systems_that_answer_the_same_items_are_compared_item_by_item() -> None:
    random_ = random.Random(2)
    old = [random_.uniform(1, 100) for _ in range(80)]
    higher = gain([1.1 * value for value in old], old)
    assert (higher.value, higher.low, higher.high) == pytest.approx((10, 10, 10))
    assert mean(old).high > 1.05 * mean(old).value  # whose own intervals overlap


def test_a_ratio_to_nothing_is_unknown() -> None:
    assert gain([1.0, 2.0], [0.0, 0.0]) == metrics.UNKNOWN
    assert mean([]).n == 0


def test_perplexity_is_a_token_s_and_longer_items_weigh_more() -> None:
    figure = perplexity([-math.log(2) * 30, -math.log(8) * 10], [30, 10])
    assert figure.value == pytest.approx(2 ** ((30 + 3 * 10) / 40))
    less = perplexity_drop([-math.log(2) * 10] * 3, [-math.log(8) * 10] * 3, [10] * 3)
    assert (less.value, less.low, less.high) == pytest.approx((75, 75, 75))


def test_a_share_of_all_or_none_is_no_certainty() -> None:
    figure = share([True] * 30)
    assert (figure.value, figure.high) == (100, 100)
    assert figure.low == pytest.approx(88.43, abs=0.01)  # Clopper and Pearson's of 30 out of 30
    none = share([False] * 30)
    assert (none.low, none.high) == pytest.approx((0, 11.57), abs=0.01)
    assert share([True] * 30, [0] * 15 + [1] * 15).low < 20  # two dialogues only
    half = share([True, False] * 20)
    assert 30 < half.low < 50 < half.high < 70


def test_the_same_items_have_the_same_interval() -> None:
    columns = [[float(at) for at in range(20)], [1.0] * 20]
    assert bootstrap(columns, lambda sums: sums[0] / sums[1]) == bootstrap(
        columns, lambda sums: sums[0] / sums[1]
    )


def test_repetition_is_what_was_said_before_in_the_reply() -> None:
    assert repetition("the sea is loud", "en") == 0
    assert repetition("go on go on go on go on", "en") == pytest.approx(3 / 5)
    assert repetition("哈哈哈哈哈哈", "zh") == pytest.approx(2 / 3)
    assert repetition("", "en") == 0


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("雨停了，走吧。", "zh", 1),
        ("雨停了 OK 吧", "zh", 4 / 6),
        ("雨が止んだ", "zh", 2 / 5),
        ("雨が止んだ", "ja", 1),
        ("今天雨停了走吧", "ja", 0),
        ("了解", "ja", 1),
        ("Copy that, 5 by 5.", "en", 1),
        ("Copy 你", "en", 4 / 5),
        ("12!", "en", 0),
    ],
)
def test_purity_counts_letters_of_the_language(text: str, language: str, expected: float) -> None:
    assert purity(text, language) == pytest.approx(expected)


def test_usual_lengths_leave_out_the_twentieth_at_each_end() -> None:
    assert usual_length(["x" * length for length in range(1, 101)]) == (6, 96)


def test_catch_phrases_are_hers_and_not_everybody_s() -> None:
    hers = [f"mind how you go, {name}. I have tea" for name in ("Tom", "Ann", "Bo", "Cy")]
    hers += ["say it again, over", "not now, over", "the sea is loud"]
    others = ["I have tea", "I have it", "I have a cat"] * 3
    found = catch_phrases(hers, others, "en")
    assert found == [" mind how you go "]
    assert phrases_in("Mind how you go! And mind how you go.", found, "en") == 2
    assert phrases_in("mind how, you go", found, "en") == 0
    zh = [f"躲雨不收钱，{name}" for name in ("小张", "老李", "阿花")]
    assert catch_phrases(zh, others, "zh") == ["躲雨不收钱"]


def test_assistants_are_known_by_their_phrases() -> None:
    phrases = assistant_phrases(PROBES / "assistant_phrases.json")
    assert phrases["en"].search("Hello! How can I assist you today?")
    assert phrases["zh"].search("作为一个人工智能助手，我没有感情。")
    assert not phrases["en"].search("Kettle's on. Force four out there.")
    assert not phrases["zh"].search("鞋底蹭一蹭，地是刚拖的。")


def test_too_few_lines_do_not_tell_a_speaker(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="3 lines of hers and 20 of others"):
        Speaker(["a", "b", "c"], [str(at) for at in range(20)])


def _speaker(seed: int) -> tuple[list[str], list[str]]:
    """Two who talk of the same things at about the same length; one ends in `over`, the other is polite."""
    random_ = random.Random(seed)
    things = ("kettle", "lamp", "sea", "letter", "cat", "stair", "tape", "window")
    hers = [f"the {random_.choice(things)} and the {random_.choice(things)}, over" for _ in range(60)]
    others = [f"please, the {random_.choice(things)} or a {random_.choice(things)}" for _ in range(60)]
    return hers, others


@pytest.mark.slow
def test_who_said_it_is_told_by_words_and_not_by_length() -> None:
    pytest.importorskip("sklearn")
    hers, others = _speaker(1)
    speaker = Speaker(hers, [*others, *(f"{line}, if you do not mind, {line}" for line in others)])
    new_hers, new_others = _speaker(2)
    assert sum(speaker.hers(new_hers)) > 55
    assert sum(speaker.hers(new_others)) < 5
    assert sum(speaker.hers([line * 3 for line in new_others])) < 5
    checks = speaker.checks()
    assert checks["hers"].value > 90
    assert checks["others"].value > 90
    by_length = (checks["hers_by_length"].value + checks["others_by_length"].value) / 2
    assert by_length < 75


@pytest.mark.slow
def test_lines_of_one_speaker_are_not_told_apart() -> None:
    pytest.importorskip("sklearn")
    hers, _ = _speaker(1)
    same, _ = _speaker(3)
    checks = Speaker(hers, same).checks()
    assert 20 < (checks["hers"].value + checks["others"].value) / 2 < 80
