"""Broken scripts of Ren'Py: scenes or one error, and no time lost."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from tests.dataset_builder.engines.renpy_game import lines, play

GAME = Path(__file__).parents[1] / "fixtures" / "renpy" / "game"
_SCRIPTS = sorted((path.relative_to(GAME).as_posix(), path.read_bytes()) for path in GAME.rglob("*.rpy"))
_PIECES = st.sampled_from(
    [
        "label", "a", ".b", ":", "\n", "\n    ", "\n        ", "menu", "if x", "elif", "else", "while",
        "jump", "call", "from", "expression", "screen", "return", "init", "python", "-1", "define", "default",
        "$", "=", "Character(", "translate", "japanese", "strings", "old", "new", "voice", "extend", "with",
        "nvl clear", "id", "rpy monologue single", "nointeract", "@", "r", "kind=a", '"', "'", "`", '"""',
        '"[a]{b}【c|d】"', "{rb}", "{/rt}", "[", "]", "(", ")", "{", "}", "#", "\\", "\\\n", "\t", "\r",
        " ", ",", "。", "\x00", "\ufeff",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60).map(" ".join), st.sampled_from(["a.rpy", "a_ren.py"]))
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    with suppress(ScriptError):
        play({name: text.encode("utf-8"), "b.rpy": b'"""renpy\ndefine a = Character("A")\n'})


@given(st.text(max_size=300))
def test_any_letters_are_read_or_refused(text: str) -> None:
    with suppress(ScriptError):
        play({"a.rpy": text.encode("utf-8", "replace")})


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ScriptError):
        play({"a.rpy": data})


@given(st.integers(0), st.integers(1, 8))
def test_a_broken_game_is_read_or_refused(seed: int, count: int) -> None:
    chance = random.Random(seed)
    files: dict[str, str | bytes] = dict(_SCRIPTS)
    name, data = chance.choice(_SCRIPTS)
    body = bytearray(data)
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
        play({**files, name: bytes(body)}, lenient=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(\n" * 100, "never closed"),
        ("".join(f"{' ' * depth}if x:\n" for depth in range(200)), "more than 100 deep"),
    ],
)
def test_what_is_no_script_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason) as caught:
        play({"a.rpy": text.encode()})
    assert caught.value.file == "a.rpy"
    assert caught.value.line > 0


@pytest.mark.parametrize(
    "text",
    [
        "(" * 200_000,
        "[" * 30_000 + "]" * 30_000 + "\n",
        '"' * 200_001,
        "'''" + "a" * 200_000,
        "e " * 30_000 + "\n",
        "e -" * 20_000 + '"x"\n',
        "e @ " * 15_000 + '"x"\n',
        'e "x" ' + "with " * 10_000 + "\n",
        'e "x" ' + "nointeract " * 5_000 + "\n",
        'e "x" ' + "(a=1) " * 8_000 + "\n",
        "init " * 12_000 + "\n",
        "init\n" * 12_000,
        "define e = " + "Character(" * 6_000 + "\n",
        "define e = Character(" + "'a' " * 15_000 + ")\n",
        "define e = Character(" + "a=1, " * 12_000 + ")\n",
        "$ " + "a." * 30_000 + '("x")\n',
        "label " + "a." * 30_000 + ":\n",
        "call a " + "from b " * 8_000 + "\n",
        "menu:\n" + '    "a" if ' * 6_000 + "\n",
        "\\\n" * 100_000,
        "\n" * 200_000 + " " * 100_000,
        "# " + "x" * 200_000 + "\n",
        'e "' + "\\" * 60_000 + '"\n',
        'e "' + "[a!" * 20_000 + '"\n',
        'e "' + "【a" * 20_000 + '"\n',
        'e "' + "{a" * 20_000 + '"\n',
        'e """' + "a\n \n" * 10_000 + '"""\n',
        'translate japanese a:\n    e "x"\n' * 5_000,
        "\n".join(f"{' ' * (depth % 90)}if x:" for depth in range(20_000)),
    ],
)
def test_a_strange_text_takes_no_time(text: str) -> None:
    """Each is read in well under a second; whatever is slow here by its nature would take minutes."""
    with suppress(ScriptError):
        play({"a.rpy": text.encode()})


def test_statements_with_a_slip_are_told_and_the_rest_is_read() -> None:
    losses = Losses()
    script = """
        label:
            e "One."
        else:
            e "Two."
        menu:
            e "Three."
            no choice
            "Four":
                e "Five."
        label a:
            e "Six."
                e "Seven."
          e "Eight."
        """
    assert [line.text for line in lines(script, losses)] == [
        "One.", "Two.", "Three.", "Four", "Five.", "Six.", "Seven.", "Eight.",
    ]  # fmt: skip
    assert losses.skipped == {"broken statement": 3}
    assert [warning.partition(": ")[0][-3:] for warning in losses.warnings] == ["y:2", "y:4", "y:8"]
