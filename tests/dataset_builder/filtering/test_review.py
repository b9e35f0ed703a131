"""The table of terms that a person edits."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.errors import DatasetError
from dataset_builder.filtering.placeholders import with_placeholders
from dataset_builder.filtering.review import decided, read_review, write_review
from dataset_builder.filtering.terms import ACTIONS, KINDS, Term

TERMS = with_placeholders(
    [
        Term(
            "绫濑忍",
            "person",
            "zh",
            "placeholder",
            "",
            ("part", "speaker"),
            ("绫濑忍",),
            12,
            ("绫濑忍！", "a\tb"),
        ),
        Term("御咲学园", "school", "zh", "placeholder", "", ("keyness",), (), 3, ()),
        Term("=SUM", "term", "en", "undecided", "", ("ner:spacy",), (), 1, ("=SUM(A1)",)),
        Term("朋友", "term", "zh", "keep", "", ("word",), (), 9, ()),
    ]
)


def edited(path: Path, *changes: tuple[str, str]) -> list[Term]:
    text = path.read_text(encoding="utf-8-sig")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return read_review(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "terms.tsv"
    write_review(path, TERMS)
    return path


def test_the_table_is_readable_and_comes_back(path: Path) -> None:
    text = path.read_text(encoding="utf-8-sig")
    assert text.splitlines()[:2] == [
        "action\ttext\tkind\treplacement\tcount\tsources\tof\tlanguage\texamples",
        "placeholder\t绫濑忍\tperson\t〔人物1〕\t12\tpart | speaker\t绫濑忍\tzh\t绫濑忍！ | a b",
    ]
    back = read_review(path)
    assert [term.text for term in back] == ["绫濑忍", "御咲学园", "=SUM", "朋友"]
    assert back[1:] == TERMS[1:]


def test_the_same_terms_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_review(tmp_path / "again.tsv", read_review(path))
    assert (tmp_path / "again.tsv").read_bytes() == path.read_bytes()


def test_no_cell_is_a_formula(path: Path) -> None:
    cells = [cell for line in path.read_text(encoding="utf-8-sig").splitlines() for cell in line.split("\t")]
    assert "'=SUM" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_another_action_brings_its_own_replacement(path: Path) -> None:
    terms = edited(
        path, ("placeholder\t御咲学园", "generalise\t御咲学园"), ("undecided\t'=SUM", "placeholder\t=SUM")
    )
    assert terms[1].action == "generalise"
    assert terms[1].replacement == "学园"
    assert terms[2].replacement == "〔Term 1〕"
    write_review(path, terms)
    assert edited(path, ("generalise\t御咲学园", "placeholder\t御咲学园"))[1].replacement == "〔学校1〕"


def test_a_replacement_of_ones_own_stays(path: Path) -> None:
    assert edited(path, ("〔人物1〕", "小明"))[0].replacement == "小明"


def test_columns_may_be_moved_and_left_out(path: Path) -> None:
    path.write_text("Text\tAction\n绫濑忍\tDrop\n\n琴音\tplaceholder\n", encoding="utf-8")
    terms = read_review(path)
    assert [(term.text, term.action, term.kind, term.replacement) for term in terms] == [
        ("绫濑忍", "drop", "term", ""),
        ("琴音", "placeholder", "term", "〔Term 1〕"),
    ]


def test_a_spreadsheets_own_encoding_and_line_ends_are_read(path: Path) -> None:
    path.write_bytes('action\ttext\r\nkeep\t"绫""濑"\r\n'.encode("utf-16"))
    assert [term.text for term in read_review(path)] == ['绫"濑']


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("action\ttext\nkeep\ta\nremove\tb\n", "line 3: the action `remove` is none of placeholder"),
        ("action\ttext\tkind\nkeep\ta\tgod\n", "line 2: the kind `god` is none of person"),
        ("action\ttext\treplacement\nplaceholder\ta\t<x>\n", "line 2: `<x>` would be changed in a prompt"),
        ("name\tcount\na\t1\n", "needs a first line with the columns"),
        ("", "needs a first line with the columns"),
        ("action\ttext\nkeep\t" + "a" * 65, "line 2: more than 64 letters"),
        ("action\ttext\nkeep\t" + "a" * 200_000, "line 2: field larger than"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(path: Path, table: str, message: str) -> None:
    path.write_text(table, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_review(path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_review(tmp_path / "none.tsv")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_review(tmp_path / "none" / "a.tsv", [])


def test_decisions_outlive_a_new_search(path: Path) -> None:
    old = edited(path, ("placeholder\t绫濑忍", "keep\t绫濑忍"), ("placeholder\t御咲学园", "drop\t御咲学园"))
    old.append(Term("我加的", "term", "zh", "placeholder", "〔名词1〕"))
    found = with_placeholders(
        [
            Term("新人", "person", "zh", "placeholder", count=20),
            Term("绫濑忍", "person", "zh", "placeholder", count=15),
            Term("新词", "term", "zh", "placeholder", count=2),
        ]
    )
    merged = {term.text: term for term in decided(found, old)}
    assert merged["绫濑忍"].action == "keep"
    assert merged["绫濑忍"].count == 15
    assert merged["新人"].replacement == "〔人物2〕"  # 1 is what 绫濑忍 had
    assert merged["新词"].replacement == "〔名词2〕"
    assert {"御咲学园", "我加的"} <= merged.keys()  # what a person decided is never forgotten


words = (
    st.text("绫濑ab'=+-@\"| ", min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda text: text and " | " not in text)
)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Term,
            words,
            st.sampled_from(KINDS),
            st.sampled_from(["zh", "en", ""]),
            st.sampled_from([action for action in ACTIONS if action != "generalise"]),
            sources=st.lists(st.sampled_from(["part", "speaker"]), max_size=2).map(tuple),
            of=st.lists(st.sampled_from(["甲", "乙"]), max_size=2).map(tuple),
            count=st.integers(0, 10**6),
            examples=st.lists(st.sampled_from(["一", "=二"]), max_size=2).map(tuple),
        ),
        max_size=5,
        unique_by=lambda term: term.text,
    )
)
def test_tables_of_any_terms_come_back(tmp_path_factory: pytest.TempPathFactory, terms: list[Term]) -> None:
    path = tmp_path_factory.getbasetemp() / "terms.tsv"
    terms = with_placeholders(terms)
    write_review(path, terms)
    assert read_review(path) == terms
