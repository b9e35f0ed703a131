"""Texts that are nearly the same, told by letters."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.exporting.near_duplicates import jaccard, near_duplicates, shingles
from tests.dataset_builder.talks import many

LONG = "雨停之前不收钱，雨停之后也不一定收。坐吧，茶在炉子上，自己倒，别碰那本翻开的书，胶还没干。"


def test_the_longer_one_is_kept() -> None:
    texts = [LONG[:-1], "完全不同的一句话，讲的是另一件事情。", LONG, LONG + "嗯。"]
    assert near_duplicates(texts, 0.8, 7) == [3, 1, 3, 3]


def test_of_equal_length_the_first_is_kept() -> None:
    assert near_duplicates([LONG + "啊", LONG + "呀"], 0.8, 7) == [0, 0]


def test_blanks_punctuation_width_and_case_do_not_count() -> None:
    assert shingles("Ａｂｃ，de f！") == ["abcde", "bcdef"]
    assert near_duplicates(["You said: it rains, always.", "you said IT RAINS always"], 1.0, 7) == [0, 0]


def test_short_texts_are_the_same_only_when_they_are() -> None:
    assert near_duplicates(["嗯。", "嗯？", "好。", "……", "…！", ""], 0.8, 7) == [0, 0, 2, 3, 4, 5]


def test_as_threshold_says() -> None:
    one, other = LONG, LONG[:30] + "另外一种完全不同的结尾写在这里"
    alike = jaccard(one, other)
    assert 0.2 < alike < 0.8
    for threshold in (alike - 0.01, alike + 0.01):
        assert (near_duplicates([one, other], threshold, 7)[1] == 0) == (threshold < alike)


def test_what_has_nothing_in_common_stays() -> None:
    texts = [turn.answered for dialogue in many(500) for turn in dialogue.turns]
    assert near_duplicates(texts, 0.8, 7) == list(range(len(texts)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab雨 。", max_size=40), max_size=25), st.sampled_from([0.3, 0.5, 0.8, 0.95])
)
def test_none_that_is_kept_is_like_another_that_is_kept(texts: list[str], threshold: float) -> None:
    found = near_duplicates(texts, threshold, 7)
    kept = [at for at, same in enumerate(found) if at == same]
    for at, same in enumerate(found):
        assert found[same] == same
        assert jaccard(texts[at], texts[same]) >= threshold
    missed = [
        (one, other)
        for one in kept
        for other in kept
        if one < other and jaccard(texts[one], texts[other]) > min(threshold + 0.1, 0.999)
    ]
    assert missed == []
