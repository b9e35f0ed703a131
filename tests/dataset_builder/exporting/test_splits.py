"""Scenes into splits: by their names alone."""

from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.exporting.splits import assign, fraction, groups, scene_name

NAMES = [f"雨夜/{number}.ks#门" for number in range(2000)]


def test_shares_come_out_about_as_asked() -> None:
    split = assign(dict.fromkeys(NAMES, 3), 0.1, 0.05, 7)
    counts = {part: list(split.values()).count(part) for part in ("train", "validation", "test")}
    assert 1640 < counts["train"] < 1760
    assert 160 < counts["validation"] < 240
    assert 70 < counts["test"] < 130


def test_more_scenes_move_no_scene() -> None:
    few, more = (assign(dict.fromkeys(NAMES[:count], 1), 0.1, 0.1, 7) for count in (1000, 2000))
    assert {name: more[name] for name in few} == few


def test_another_seed_is_another_split() -> None:
    one, other = (assign(dict.fromkeys(NAMES, 1), 0.1, 0.1, seed) for seed in (1, 2))
    assert one != other


def test_a_place_is_the_same_on_every_machine() -> None:
    assert fraction(7, "雨夜/雨.ks#门") == 0.08757418129161845


def test_few_scenes_fill_every_split_and_one_scene_trains() -> None:
    assert sorted(assign(dict.fromkeys("abc", 1), 0.01, 0.01, 7).values()) == ["test", "train", "validation"]
    assert sorted(assign({"a": 1, "b": 1}, 0.01, 0.01, 7).values()) == ["test", "train"]
    assert assign({"a": 1}, 0.4, 0.4, 7) == {"a": "train"}
    assert assign({}, 0.1, 0.1, 7) == {}


def test_a_scene_with_most_of_the_rows_trains() -> None:
    for seed in range(50):
        split = assign({"all of it": 90, "a": 5, "b": 5}, 0.3, 0.3, seed)
        assert split["all of it"] == "train"
        assert sorted(split.values()) == ["test", "train", "validation"]


def test_without_shares_all_is_trained() -> None:
    assert set(assign(dict.fromkeys(NAMES, 1), 0, 0, 7).values()) == {"train"}


def test_links_join_what_they_lead_to() -> None:
    found = groups("abcdef", [("b", "a"), ("c", "b"), ("e", "f"), ("d", "d")])
    assert found == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "e", "f": "e"}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=40))
def test_groups_do_not_depend_on_the_order_of_links(pairs: list[tuple[int, int]]) -> None:
    names = [f"{number:02}" for number in range(21)]
    links = [(names[one], names[other]) for one, other in pairs]
    found = groups(names, links)
    assert found == groups(names, links[::-1])
    assert all(found[one] == found[other] for one, other in links)
    assert all(found[root] == root for root in found.values())


def test_a_scene_has_a_name_where_something_tells_it_apart() -> None:
    assert scene_name("雨夜", "雨.ks", "门") == "雨夜/雨.ks#门"
    assert scene_name("雨夜", "", "") == ""
