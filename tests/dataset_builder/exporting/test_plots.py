"""Pictures: text that stays text, the same bytes again."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.plots import length_chart, speaker_chart

pytest.importorskip("matplotlib")


def words(path: Path) -> list[str]:
    return [each.text or "" for each in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_names_in_any_script_are_text(tmp_path: Path) -> None:
    counts = {"綾地 寧々": 4210, "$x_1$ & <b>": 12, "Ана": 7, "🦊": 3, "user": 2, "a\x00b\nc": 1}
    speaker_chart(counts, tmp_path / "a.svg")
    shown = words(tmp_path / "a.svg")
    names = [each for each in shown if re.search(r"[^\d,]", each) and each != "lines"]
    assert names == ["綾地 寧々", "$x_1$ & b", "Ана", "🦊", "(user)", "ab c"]
    assert "4,210" in shown


def test_many_speakers_are_one_bar(tmp_path: Path) -> None:
    speaker_chart({f"人物{number}": number for number in range(1, 31)}, tmp_path / "a.svg", unit="utterances")
    shown = words(tmp_path / "a.svg")
    assert "10 others" in shown
    assert "55" in shown
    assert "人物10" not in shown
    assert "utterances" in shown


def test_lengths_by_language(tmp_path: Path) -> None:
    length_chart({"ja": [*range(200), 10_000], "zh$": [5, 6]}, tmp_path / "a.svg", unit="letters")
    shown = words(tmp_path / "a.svg")
    assert "ja (201)" in shown
    assert "zh$ (2)" in shown
    assert "letters; all above 198 in the last bar" in shown


def test_few_things_are_counted_whole_and_none_is_cut(tmp_path: Path) -> None:
    length_chart({"ja": [1, 2]}, tmp_path / "a.svg", unit="answers")
    shown = words(tmp_path / "a.svg")
    assert "answers" in shown
    how_many = shown[shown.index("answers") + 1 : shown.index("how many")]
    assert how_many == ["0", "1"]


def test_nothing_to_draw_is_drawn(tmp_path: Path) -> None:
    for at, counts in enumerate(({}, {"a": 0})):
        speaker_chart(counts, tmp_path / f"{at}.svg")
    for at, lengths in enumerate(({}, {"a": []}, {"a": [0, 0]})):
        length_chart(lengths, tmp_path / f"{at + 2}.svg", unit="letters")
    assert len([path for path in tmp_path.iterdir() if words(path)]) == 5


def test_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        speaker_chart({"灯": 3, "微": 3, "Ann": 9}, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        speaker_chart({"灯": 3}, tmp_path / "nowhere" / "a.svg")
