"""Compiled scripts: they say what their sources say, and nothing in them is ever run."""

import os
import pickle
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from tests.dataset_builder.engines.renpy_compiler import (
    code,
    compiled,
    dumps,
    expression,
    node,
    packed,
    revertable,
)
from tests.dataset_builder.engines.renpy_game import play


def read(data: bytes, losses: Losses | None = None, name: str = "game/script.rpyc") -> list[Scene]:
    return play({name: data}, losses)


def say(what: str, who: str | None = None, line: int = 1, **fields: Any) -> Any:
    return node("Say", line, what=what, who=who, **fields)


def game() -> list[Any]:
    """Statements in which there is everything that is read."""
    return [
        node(
            "Init",
            block=[
                node("Define", varname="l", code=code('Character(_("林晚"))')),
                node("Default", varname="player", code=code('"阿澄"')),
                node("Python", code=code("\ne = Character(\n  'Eileen',  # a name\n)\nx = 1\n")),
                node("TranslateString", language="japanese", old="Yes", new="はい"),
                node("TranslateString", language=None, old="Yes", new="no"),
            ],
        ),
        node(
            "Label",
            2,
            name="start",
            hide=False,
            block=[
                node("Scene", 3),
                say("下雨了。", None, 4),
                node("UserStatement", 5, line='voice "a.ogg"'),
                say("你好，[player]。", expression("l"), 6, attributes=("happy",), interact=True),
                say("Who?", "e", 7, arguments=node("ArgumentInfo", arguments=[("name", '"???"')])),
                node("Python", 8, code=code('e("Hi.")')),
                say("Choose.", "e", 9, interact=False),
                node(
                    "Menu",
                    10,
                    items=[
                        ("Really?", "True", None),
                        ("Yes", "True", [node("Jump", 12, target="end", expression=False)]),
                        ("No", "a > 1", [say("No!", "e", 14)]),
                    ],
                ),
                node("If", 15, entries=[("a", [say("A", "e", 16)]), ("True", [say("B", "e", 17)])]),
                node("While", 18, condition="b", block=[say("C", "e", 19)]),
                node("Call", 20, label="visit", expression=False),
                node("Label", 20, name="_call_visit", block=[]),
                node(
                    "UserStatement",
                    21,
                    line="example:",
                    code_block=[say("D", "e", 22), say("E", "title", 23)],
                ),
                node(
                    "UserStatement",
                    24,
                    line="quest x:",
                    subparses=[node("SubParse", block=[say("F", "e", 25)])],
                ),
                node("UserStatement", 26, line="play music x"),
                node("Call", 27, label='"visit"', expression=expression("x")),
                node("Jump", 28, target="somewhere", expression=True),
            ],
        ),
        node("Label", 30, name="end", block=revertable(say("The end.", "extend", 31))),
        node("Return", 32, expression=None),
        node("Label", 33, name="visit", block=[say("G", "e", 34), node("Return", 35)]),
    ]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_whole_script(protocol: int) -> None:
    losses = Losses()
    start, end, visit = read(compiled(game(), protocol), losses)
    assert (start.next, end.next, visit.next) == (["end", "visit"], [], [])
    assert start.choices == [Choice("Yes", "end"), Choice("No")]
    assert [
        (line.source.line, line.kind, line.speaker, line.display_name, line.branch, line.text)
        for line in start.lines
    ] == [
        (4, "narration", None, None, "", "下雨了。"),
        (6, "speech", "林晚", "林晚", "", "你好，阿澄。"),
        (7, "speech", "Eileen", "???", "", "Who?"),
        (8, "speech", "Eileen", "Eileen", "", "Hi."),
        (9, "speech", "Eileen", "Eileen", "", "Choose."),
        (10, "narration", None, None, "", "Really?"),
        (10, "choice", None, None, "1.1", "Yes"),
        (10, "choice", None, None, "1.2", "No"),
        (14, "speech", "Eileen", "Eileen", "1.2", "No!"),
        (16, "speech", "Eileen", "Eileen", "2.1", "A"),
        (17, "speech", "Eileen", "Eileen", "2.2", "B"),
        (19, "speech", "Eileen", "Eileen", "", "C"),
        (22, "speech", "Eileen", "Eileen", "", "D"),
        (25, "speech", "Eileen", "Eileen", "", "F"),
    ]
    assert start.lines[1].voice == ("a.ogg",)
    assert start.lines[6].translations == {"ja": "はい"}
    assert [line.text for line in end.lines + visit.lines] == ["The end.", "G"]
    assert losses.unknown == {"example": 1, "quest": 1}
    assert losses.skipped == {"text in a statement of the game's own": 1}


def test_identifiers_of_the_compiler_and_of_ours() -> None:
    tl = """
        translate english start_54eca2fd:
            voice "a.ogg"
            l "Hello."
        translate english given_1:
            "Rain."
        """
    voiced = node("UserStatement", line='voice "a.ogg"'), say("你好。", "l", attributes=("happy",))
    plain = [node("Label", name="start", block=[*voiced])]
    translated = [
        node("Label", name="start", block=[
            node("TranslateSay", who=None, what="下雨了。", identifier="given_1", language=None),
            node("Translate", identifier="start_54eca2fd", language=None, block=[*voiced]),
            node("EndTranslate"),
        ]),
    ]  # fmt: skip
    ((line,),) = (scene.lines for scene in play({"a.rpyc": compiled(plain), "tl/a.rpy": tl}))
    assert line.translations == {"en": "Hello."}
    both = zlib.compress(dumps(({}, plain))), zlib.compress(dumps(({}, translated)))
    (scene,) = play({"a.rpyc": packed({1: both[0], 2: both[1]}), "tl/a.rpy": tl})
    assert [line.translations for line in scene.lines] == [{"en": "Rain."}, {"en": "Hello."}]


def test_translations_are_compiled_too() -> None:
    blocks = [
        node("TranslateSay", who=None, what="Rain.", identifier="start_1", language="english"),
        node("Translate", identifier="start_2", language="french", block=[say("Pluie."), say("Encore.")]),
    ]
    script = 'label start:\n    "雨" id start_1\n    "又是雨" id start_2\n'
    (scene,) = play({"a.rpy": script, "tl/a.rpyc": compiled(blocks)})
    assert [line.translations for line in scene.lines] == [{"en": "Rain."}, {"fr": "Pluie. Encore."}]


def test_version_1_is_the_packed_pickle_alone() -> None:
    (scene,) = read(zlib.compress(dumps(({}, [node("Label", name="a", block=[say("Old.")])]))))
    assert [line.text for line in scene.lines] == ["Old."]


def test_the_source_is_taken_where_it_is_there() -> None:
    losses = Losses()
    data = compiled([node("Label", name="a", block=[say("Compiled.")])])
    files: dict[str, str | bytes] = {
        "game/a.rpy": 'label a:\n    "Text."\n',
        "game/a.rpyc": data,
        "game/scripts.rpa/a.rpyc": data,
        "game/b.rpym": 'label b:\n    "Module."\n',
        "game/b.rpymc": data,
        "game/c.rpyc": data,
    }
    assert [(scene.file, scene.lines[0].text) for scene in play(files, losses)] == [
        ("game/a.rpy", "Text."),
        ("game/b.rpym", "Module."),
        ("game/c.rpyc", "Compiled."),
    ]
    assert losses.skipped == {"compiled file whose source is there": 3}


class _Trap:
    """A pickle of it runs a command where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.path,)


def test_nothing_is_ever_run(tmp_path: Any) -> None:
    trap = _Trap(str(tmp_path / "sprung"))
    with pytest.raises(ScriptError, match="holds no statements"):
        read(zlib.compress(pickle.dumps(trap)))
    statements = [trap, node("Label", name="a", block=[trap, say("Sound."), say("x", who=trap)])]
    losses = Losses()
    (scene,) = read(compiled(statements), losses)
    assert [line.text for line in scene.lines] == ["Sound."]
    assert losses.skipped == {"broken statement": 1}
    assert not (tmp_path / "sprung").exists()


def looped() -> bytes:
    block: list[Any] = [say("x")]
    block.append(node("Label", name="a", block=block))
    return compiled(block)


def nested(depth: int) -> bytes:
    """Blocks inside one another, written by hand: Python's pickler cannot go so deep."""
    opening = b"crenpy.ast\nWhile\n)\x81}X\x05\x00\x00\x00block]"
    return packed(
        {1: zlib.compress(b"\x80\x02}]" + opening * depth + b"sb" + b"asb" * (depth - 1) + b"a\x86.")}
    )


def shared(depth: int) -> bytes:
    """Each block holds the next one twice: small to write, and endless to walk."""
    block: list[Any] = [say("x")]
    for _ in range(depth):
        block = [node("While", block=block)] * 2
    return compiled(block)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "a header of the game's own"),
        (b"\x00" * 100, "a header of the game's own"),
        (b"RENPY RPC3" + b"\x00" * 100, "a header of the game's own"),
        (b"RENPY RPC2", "holds no statements"),
        (b"RENPY RPC2" + struct.pack("<III", 1, 1 << 31, 1 << 31), "holds no statements"),
        (packed({1: b"xyz" * 10}), "packed data is broken"),
        (packed({1: zlib.compress(b"x" * 1000)[:-8]}), "cut off"),
        (packed({1: zlib.compress(b"\x00" * (1 << 26))}), "far more than a script holds"),
        (packed({1: zlib.compress(b"")}), "pickle is broken"),
        (packed({1: zlib.compress(b"\x80\x02.")}), "pickle is broken"),
        (packed({1: zlib.compress(b"\x80\x02N.")}), "holds no statements"),
        (packed({1: zlib.compress(b"\x80\x02r\xff\xff\xff\xff.")}), "pickle is broken"),
        (packed({1: zlib.compress(b"\x80\x02X\xff\xff\xff\xffa.")}), "cut off at byte"),
        (packed({1: zlib.compress(b"\x80\x04\x96" + b"\xff" * 8 + b".")}), "cut off at byte"),
        (packed({1: zlib.compress(b"\x80\x02\x8b\x00\x10\x00\x00" + b"\x01" * 4096 + b".")}), "a number has"),
        (packed({1: zlib.compress(b"\x80\x02Q.")}), "is none of data"),
        (packed({1: zlib.compress(b"\x80\x02NN\x81.")}), "calls what is no class"),
        (looped(), "contain themselves|are more than 100 deep"),
        (nested(5000), "more than 100 deep"),
        (shared(90), "contain themselves"),
        (compiled([say("x" * 50_000)] * 5_000), "contain themselves"),
        (compiled([node("Python", code=code("a = 1\n" * 9_000))] * 5_000), "contain themselves"),
        (compiled([node("Menu", items=[("x", "True", None)] * 9_000)] * 5_000), "contain themselves"),
        (compiled([node("UserStatement", line="x", subparses=[None] * 9_000)] * 5_000), "contain themselves"),
    ],
)
def test_what_is_no_script_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises((ScriptError, ProtectedScript), match=reason):
        read(data)


def test_only_strings_are_keys() -> None:
    """Python's dictionaries would hash tuples in tuples and numbers, which a crafted file makes endless."""
    doubled = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (depth, depth) for depth in range(80)) + b"}h\x50Ns"
    alike = b"".join(b"\x8a\x0a" + (n * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for n in range(20_000))
    for body in (doubled, b"}(" + alike + b"u"):
        assert read(packed({1: zlib.compress(b"\x80\x04" + body + b"]\x86.")})) == []


@given(st.binary(max_size=400))
def test_any_pickle_is_read_or_refused(body: bytes) -> None:
    with suppress(ScriptError):
        read(packed({2: zlib.compress(b"\x80\x04" + body)}))


@given(st.integers(0), st.integers(1, 12))
def test_a_broken_pickle_is_read_or_refused(seed: int, count: int) -> None:
    chance = random.Random(seed)
    body = bytearray(_BODY)
    for _ in range(count):
        at = chance.randrange(len(body))
        match chance.randrange(3):
            case 0:
                body[at] = chance.randrange(256)
            case 1:
                del body[at : at + chance.randrange(1, 40)]
            case _:
                body[at:at] = body[at : at + chance.randrange(1, 40)]
    with suppress(ScriptError):
        read(packed({2: zlib.compress(bytes(body))}))


_BODY = dumps(({}, game()))
