"""Characters from their folders: those of this repository, and cards of every version."""

import base64
import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from inference.characters import (
    Card,
    load_character,
    load_characters,
    parse_card,
    parse_served_name,
    served_name,
)
from inference.errors import CharacterError
from inference.prompt import exchange, system_text, training_row

OURS = Path(__file__).parents[2] / "characters"
V1 = {
    "name": "Nene",
    "description": "a gardener",
    "personality": "kind",
    "scenario": "",
    "first_mes": "Hi.",
    "mes_example": "",
}
V2_ONLY = {
    "creator_notes": "",
    "system_prompt": "",
    "post_history_instructions": "",
    "alternate_greetings": ["Hello."],
    "tags": ["flowers"],
    "creator": "someone",
    "character_version": "3",
    "extensions": {"depth_prompt": {"depth": 4, "prompt": "…"}},
}
V2 = {"spec": "chara_card_v2", "spec_version": "2.0", "data": V1 | V2_ONLY}
V3 = {
    "spec": "chara_card_v3",
    "spec_version": "3.0",
    "data": V1 | V2_ONLY | {"nickname": "Nen", "group_only_greetings": [], "assets": [{"type": "icon"}]},
}
HERE = Path("card.json")


def parse(card: Any) -> Card:
    return parse_card(json.dumps(card).encode(), HERE)


@pytest.mark.parametrize("card", [V1, V2, V3], ids=["V1", "V2", "V3"])
def test_every_version_of_a_card_is_read(card: dict[str, Any]) -> None:
    read = parse(card)
    assert (read.name, read.description, read.first_mes) == ("Nene", "a gardener", "Hi.")
    assert read.extensions.chatnvl.language == "en"


def test_what_we_do_not_know_survives_a_round_trip() -> None:
    written = json.loads(json.dumps(V3))
    written["data"]["extensions"] |= {
        "risuai": {"emotions": [["glad", "1.png"]]},
        "chatnvl": {"language": "zh", "voice": {"speed": 1.25}},
    }
    written["data"]["character_book"] = {"entries": [{"keys": ["rose"], "unheard_of": None}]}
    back = parse(written).model_dump(mode="json", exclude_unset=True)
    assert back == written["data"]
    assert parse({**written, "data": back}) == parse(written)


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ([], "valid dictionary|object"),
        ({}, "`name`"),
        ({"name": ""}, "`name`"),
        ({"name": "x" * 81}, "`name`"),
        (V3 | {"spec": "chara_card_v9"}, "`spec`"),
        ({"spec": "chara_card_v3", "spec_version": "3.0"}, "`data`"),
        (V1 | {"extensions": {"chatnvl": {"language": "tlh"}}}, "`extensions.chatnvl.language`"),
        (V1 | {"extensions": {"chatnvl": {"sampling": {"heat": 1}}}}, "sampling.heat"),
        (V1 | {"extensions": {"chatnvl": {"sampling": {"temperature": -1}}}}, "sampling.temperature"),
    ],
)
def test_a_wrong_card_says_where(card: Any, reason: str) -> None:
    with pytest.raises(CharacterError, match=reason):
        parse(card)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"[" * 500_000, b'{"name":' * 100_000])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(CharacterError):
        parse_card(data, HERE)


def test_a_folder_may_hold_a_png_or_a_charx(tmp_path: Path) -> None:
    card = json.dumps(V2).encode()
    body = b"tEXt" + b"chara\0" + base64.b64encode(card)
    end = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(body) - 4) + body
    picture += struct.pack(">I", zlib.crc32(body)) + end
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "card.png").write_bytes(picture)
    with zipfile.ZipFile(tmp_path / "b" / "card.charx", "w") as archive:
        archive.writestr("card.json", card)
    found = load_characters(tmp_path)
    assert [character.card for character in found.values()] == [parse(V2), parse(V2)]
    assert found["a"].card_hash == found["b"].card_hash == hashlib.sha256(card).hexdigest()
    assert found["a"].portrait == tmp_path / "a" / "card.png"
    (tmp_path / "a" / "portrait.png").write_bytes(picture)
    assert found["a"].portrait == tmp_path / "a" / "portrait.png"
    # JSON is the one that is edited by hand, so it goes first.
    (tmp_path / "a" / "card.json").write_text(json.dumps(V1 | {"name": "Edited"}), encoding="utf-8")
    assert load_character(tmp_path / "a").name == "Edited"


def test_a_folder_without_a_card_and_a_folder_without_folders(tmp_path: Path) -> None:
    with pytest.raises(CharacterError, match="no character in it"):
        load_characters(tmp_path)
    with pytest.raises(CharacterError, match="no such folder"):
        load_characters(tmp_path / "nowhere")
    (tmp_path / "nene").mkdir()
    with pytest.raises(CharacterError, match=r"card\.png"):
        load_characters(tmp_path)
    (tmp_path / "Nene.v2").mkdir()
    with pytest.raises(CharacterError, match="a-z"):
        load_character(tmp_path / "Nene.v2")


def test_names_of_served_versions() -> None:
    assert parse_served_name(served_name("nene", "v7")) == ("nene", 7)
    wrong = ["nene", "nene.v0", "nene.v", ".v1", "Nene.v1", "../x.v1", "a.b.v1", "nene.v1\n", "nene.v1234567"]
    assert [parse_served_name(name) for name in wrong] == [None] * len(wrong)


def test_our_two_characters() -> None:
    found = load_characters(OURS)
    assert {name: character.language for name, character in found.items()} == {"maeve": "en", "zhiwei": "zh"}
    for character in found.values():
        raw = json.loads((character.folder / "card.json").read_bytes())
        assert (raw["spec"], raw["spec_version"]) == ("chara_card_v3", "3.0")
        assert raw["data"]["creator"] == "ChatNVL"
        picture = character.portrait.read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert struct.unpack(">II", picture[16:24]) == (900, 1200)
        assert len(picture) < 400_000
        # The static part is read anew whenever the cache is cold, on a CPU at a few hundred tokens a second.
        assert len(system_text(character)) < 1500


@pytest.mark.parametrize("name", ["maeve", "zhiwei"])
def test_dialogues_are_rows_of_the_schema_and_in_one_language(name: str) -> None:
    character = load_character(OURS / name)
    lines = (character.folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    dialogues = [[exchange(*turn) for turn in json.loads(line)["turns"]] for line in lines]
    answers = [turn.reply for dialogue in dialogues for turn in dialogue]
    assert len(dialogues) >= 120
    assert len(answers) >= 260
    assert len(set(answers)) == len(answers)
    for answer in answers:
        chinese = any("\u4e00" <= c <= "\u9fff" for c in answer)
        assert chinese == (character.language == "zh"), answer
        assert answer == answer.strip()
        assert len(answer) <= 260
    roles = [message.role for message in training_row(character, dialogues[0]).messages]
    assert roles[:3] == ["system", "user", "assistant"]
