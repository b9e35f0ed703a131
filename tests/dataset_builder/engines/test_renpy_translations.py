"""Translations of Ren'Py scripts: identifiers as Ren'Py makes them, and pairs by them."""

import hashlib
from collections.abc import Mapping

import pytest

from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Line
from tests.dataset_builder.engines.renpy_game import play


def identifier(label: str, *code: str) -> str:
    """As Ren'Py makes it, for statements spelled as Ren'Py does."""
    digest = hashlib.md5("".join(f"{line}\r\n" for line in code).encode()).hexdigest()[:8]
    return f"{label}_{digest}" if label else digest


def translated(
    script: str, pairs: Mapping[str, str], losses: Losses | None = None, language: str = "english"
) -> list[Line]:
    """The lines of a script, where `tl/` has these texts for these identifiers."""
    blocks = [f'translate {language} {name}:\n    e "{said}"\n' for name, said in pairs.items()]
    files = {"game/script.rpy": script, f"game/tl/{language}/script.rpy": "\n".join(blocks)}
    return [line for scene in play(files, losses) for line in scene.lines]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ('"你好。"', '"你好。"'),
        ('e   "你好。"', 'e "你好。"'),
        ("e '你说“好”。'", 'e "你说“好”。"'),
        ('e "say \\"hi\\" \\\\ there"', 'e "say \\"hi\\" \\\\ there"'),
        ('e "one\\ntwo"', 'e "one\\ntwo"'),
        ('e "a\\ \\ \\ b"', 'e "a \\ \\ b"'),
        ('e "a   b"', 'e "a b"'),
        ('e happy  -hat "x"', 'e happy -hat "x"'),
        ('e happy @ wink "x"', 'e happy @ wink "x"'),
        ('e @ wink "x"', 'e @ wink "x"'),
        ('e "x" with dissolve', 'e "x" with dissolve'),
        ('e "x" with Dissolve(0.5)', 'e "x" with Dissolve(0.5)'),
        ('e "x" nointeract', 'e "x" nointeract'),
        ('e "x" (1,what_size = 3)', 'e "x" (1, what_size=3)'),
        ('e "x" with dissolve (a=1) nointeract', 'e "x" nointeract (a=1) with dissolve'),
        ('"Old man" "x"', '"Old man" "x"'),
        ('gang.e "x"', 'gang.e "x"'),
        ('e "\\{b} \\[x] 5\\%"', 'e "{{b} [[x] 5%%"'),
    ],
)
def test_the_identifier_of_a_line(statement: str, code: str) -> None:
    (line,) = translated(f"label start:\n    {statement}\n", {identifier("start", code): "found"})
    assert line.translations == {"en": "found"}


def test_labels_in_identifiers() -> None:
    script = """
        "x"
        label start:
            "x"
            "x"
        label .local:
            "x"
        label hidden hide:
            "x"
        label other:
            call start
            "x"
            call start from here
            "x"
            menu:
                "x"
                "choice":
                    label inside:
                    "x"
            "x"
        menu again:
            "y" "x"
            "choice":
                pass
        """
    names = {
        identifier("", '"x"'): "above",
        identifier("start", '"x"'): "first",
        identifier("start", '"x"') + "_1": "second",
        identifier("start_local", '"x"'): "local",
        identifier("start_local", '"x"') + "_1": "below a hidden label",
        identifier("other", '"x"'): "other",
        identifier("here", '"x"'): "here",
        identifier("inside", '"x"'): "inside",
        identifier("inside", '"x"') + "_1": "still inside",
        identifier("again", '"y" "x" nointeract'): "menu",
    }
    losses = Losses()
    found = translated(script, names, losses)
    said = [line.translations["en"] for line in found if line.kind != "choice" and line.translations]
    assert said == list(names.values())
    assert not losses.warnings


def test_a_label_of_ren_pys_own_is_an_alternative() -> None:
    script = 'label start:\n    call x from _call_x\n    "x"\n    "x"\n'
    names = {
        identifier("start", '"x"'): "by the label above",
        identifier("_call_x", '"x"') + "_1": "by its own",
    }
    found = translated(script, names)
    assert [line.translations["en"] for line in found] == list(names.values())


def test_identifiers_that_are_written_out() -> None:
    code = identifier("start", '"x"')
    script = f'label start:\n    "x"\n    "y" id {code}\n'
    found = translated(script, {code: "written out", f"{code}_1": "made"})
    assert [line.translations["en"] for line in found] == ["made", "written out"]


def test_voices_share_the_identifier_of_the_line_below() -> None:
    script = """
        label start:
            voice "a.ogg"
            "x"
            voice "b.ogg"
            show eileen
            "y"
            nvl clear
            "z"
            '''
            z

            {clear}

            z
            '''
        """
    names = {
        identifier("start", 'voice "a.ogg"', '"x"'): "x",
        identifier("start", '"y"'): "y",
        identifier("start", "nvl clear", '"z"'): "z",
        identifier("start", '"z"'): "first piece",
        identifier("start", "nvl clear", '"z"') + "_1": "second piece",
    }
    assert [line.translations["en"] for line in translated(script, names)] == list(names.values())


def test_markup_and_extensions_of_translations() -> None:
    script = 'label start:\n    e "一{nw}"\n    extend "二"\n    e "三"\n    extend "四"\n'
    names = {identifier("start", 'e "一{nw}"'): "{b}one{/b}{nw}", identifier("start", 'extend "四"'): " four"}
    first, second = translated(script, names)
    assert (first.text, first.translations) == ("一二", {"en": "one二"}), "what is not translated stays"
    assert (second.text, second.translations) == ("三四", {"en": "三 four"})


def test_a_line_may_become_several_or_none() -> None:
    code = identifier("start", '"一二。"')
    files = {
        "a.rpy": 'label start:\n    "一二。"\n',
        "tl/english/a.rpy": f'translate english {code}:\n    "One."\n    show x\n    "Two."\n',
        "tl/french/a.rpy": f"translate french {code}:\n    pass\n",
    }
    ((line,),) = (scene.lines for scene in play(files))
    assert line.translations == {"en": "One. Two."}


def test_strings() -> None:
    script = """
        define e = Character("E")
        label a:
            menu:
                "Say \\"hi\\"?"
                "Yes{#1}":
                    $ e(_("Hi"))
                "No":
                    pass
        """
    strings = """
        translate japanese strings:
            # game/a.rpy:3
            old "Say \\"hi\\"?"
            new "「やあ」と言う？"
            old "Yes{#1}"
            new "は\\nい"
            old 'No'
            new ""
            old "Hi"
            new _("やあ")
            old broken
            new "x"
        translate japanese python:
            gui.text_font = "x.ttf"
        translate japanese style default:
            font "x.ttf"
        translate None strings:
            old "Hi"
            new "no"
        """
    losses = Losses()
    (scene,) = play({"a.rpy": script, "tl/a.rpy": strings}, losses)
    assert [(line.text, line.translations.get("ja")) for line in scene.lines] == [
        ('Say "hi"?', "「やあ」と言う？"),
        ("Yes", "はい"),
        ("Hi", "やあ"),
        ("No", None),
    ]
    assert losses.skipped == {"broken statement": 1}


def test_folders_are_named_by_languages() -> None:
    names = {
        "schinese": "zh-Hans",
        "tchinese": "zh-Hant",
        "japanese": "ja",
        "korean": "ko",
        "french": "fr",
        "english": "en",
        "English": "en",
        "elvish": "elvish",
    }
    for name, tag in names.items():
        (line,) = translated('label a:\n    "x"\n', {identifier("a", '"x"'): "y"}, language=name)
        assert line.translations == {tag: "y"}


def test_translations_of_no_line_are_told() -> None:
    losses = Losses()
    translated('label a:\n    "x"\n', {"a_00000000": "lost", "a_00000001": "lost"}, losses)
    assert losses.warnings == ["translations (en): 2 belong to no line of the scripts"]


def test_many_lines_that_say_the_same() -> None:
    script = "label a:\n" + '    "……"\n' * 20_000
    found = translated(script, {identifier("a", '"……"') + "_19999": "..."})
    assert found[-1].translations == {"en": "..."}


def test_translations_that_would_fill_the_memory_are_refused() -> None:
    blocks = "".join(f'translate l{n} strings:\n    old "x"\n    new "y"\n' for n in range(200))
    with pytest.raises(ScriptError, match="more than 100 languages"):
        play({"a.rpy": blocks})
    bomb = f'translate english strings:\n    old "x"\n    new "{"y" * 30_000}"\n'
    (scene,) = play({"a.rpy": 'label a:\n    "x"\n' + bomb})
    assert scene.lines[0].translations == {}
