"""Where terms stand in a text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.filtering.terms import Matcher, Term


def places(text: str, *terms: str) -> list[str]:
    return [
        text[start:end]
        for start, end, _ in Matcher(Term(term, "term", "", "keep") for term in terms).find(text)
    ]


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("绫濑忍和忍酱", ("忍", "绫濑", "绫濑忍"), ["绫濑忍", "忍"]),  # the longest first
        ("朋友的友君", ("友", "朋友"), ["朋友", "友"]),  # an ordinary word hides the name in it
        ("Ann met Anna, and Ann's sister", ("Ann",), ["Ann", "Ann"]),  # whole words
        ("ANN! Hut 5, Hut 51", ("Ann", "Hut 5"), ["ANN", "Hut 5"]),  # shouted; numbers are whole too
        ("O’Brien and O'Brien", ("O'Brien",), ["O’Brien", "O'Brien"]),
        ("will Will?", ("Will",), ["Will"]),  # small letters are another word
        ("NORIは朔。", ("NORI", "朔"), ["NORI", "朔"]),  # beside other scripts
        ("リツ、ブリツ、リツー、リツカ", ("リツ",), ["リツ", "リツ"]),  # in a run of katakana, and drawn out
        ("私はうれしい。はうは笑った。はうさん、それはうそ。", ("はう",), ["はう", "はう"]),
        ("あのはうが、とはう。", ("はう",), ["はう", "はう"]),
        ("a.b axb", ("a.b",), ["a.b"]),  # letters mean themselves
        ("aab", ("ab",), []),
        ("", ("a",), []),
    ],
)
def test_finding(text: str, terms: tuple[str, ...], expected: list[str]) -> None:
    assert places(text, *terms) == expected


def test_no_terms_stand_nowhere() -> None:
    assert places("anything") == []


def test_a_term_is_given_with_its_place() -> None:
    term = Term("Harris", "person", "en", "drop")
    assert list(Matcher([term]).find("Mr HARRIS")) == [(3, 9, term)]


def test_long_words_with_a_common_beginning_make_no_deep_pattern() -> None:
    terms = ["a" * length for length in range(1, 65)]
    assert places("a" * 64, *terms) == ["a" * 64]


@settings(deadline=None)
@given(
    st.lists(st.text("友忍月ab空アイ", min_size=1, max_size=4), min_size=1, max_size=8),
    st.text("友忍月ab空アイは。 ", max_size=40),
)
def test_places_follow_one_another_and_hold_terms(terms: list[str], text: str) -> None:
    end = 0
    for start, stop, term in Matcher(Term(each, "term", "", "keep") for each in terms).find(text):
        assert end <= start < stop
        assert term.text in terms
        assert text[start:stop].casefold() == term.text.casefold()
        end = stop


@settings(deadline=None)
@given(
    st.lists(st.text("友忍月空", min_size=1, max_size=3), min_size=1, max_size=8),
    st.text("友忍月空。", max_size=30),
)
def test_in_han_letters_every_place_is_found(terms: list[str], text: str) -> None:
    left = text
    for start, end, _ in reversed(list(Matcher(Term(each, "term", "", "keep") for each in terms).find(text))):
        left = left[:start] + "\n" + left[end:]
    assert not any(term in left for term in terms)
