"""Who speaks in Ren'Py: characters are found in any file, in any way in which people make them."""

import pytest

from dataset_builder.report import Losses
from dataset_builder.schema import Line
from tests.dataset_builder.engines.renpy_game import play


def speaks(definitions: str, who: str, what: str = "……", losses: Losses | None = None) -> Line:
    """The line of somebody who is defined in another file."""
    script = f'label start:\n    {who} "{what}"\n'
    (scene,) = play({"game/a.rpy": script, "game/z.rpy": definitions}, losses)
    return scene.lines[0]


@pytest.mark.parametrize(
    ("definitions", "who", "name"),
    [
        ('define e = Character("Eileen", color="#fff")', "e", "Eileen"),
        ("define e = Character('小雪', image='xue')", "e", "小雪"),
        ('define e = Character(_("小雪"))', "e", "小雪"),
        ('define e = Character(\n    __("小"  # a comment ) "\n    "雪"),\n)', "e", "小雪"),
        ('default e = Character(name="Eileen")', "e", "Eileen"),
        ('define 5 e = Character("Eileen")', "e", "Eileen"),
        ('init 3 define e = Character("Eileen")', "e", "Eileen"),
        ('init -1:\n    define e = Character("Eileen")', "e", "Eileen"),
        ('init python:\n    e = Character("Eileen")', "e", "Eileen"),
        ('python early:\n    e = Character("Eileen")', "e", "Eileen"),
        ('label x:\n    $ e = Character("Eileen")', "e", "Eileen"),
        ('define character.e = Character("Eileen")', "e", "Eileen"),
        ('define e = Character("Eileen")', "store.e", "Eileen"),
        ('define gang.e = Character("Eileen")', "gang.e", "Eileen"),
        ('define e = ADVCharacter("Eileen")', "e", "Eileen"),
        ('define e = NVLCharacter("Eileen", kind=nvl)', "e", "Eileen"),
        ('define e = game.MoodCharacter("Eileen")', "e", "Eileen"),
        ('define e = Actor("Eileen", mood=[1, {2: (3, "x)")}])', "e", "Eileen"),
        ('define e = "Eileen"', "e", "Eileen"),
        ('define e = Character(" 小雪 ")', "e", "小雪"),
        ('define e = Character("{color=#f00}小雪{/color}")', "e", "小雪"),
        ('define a = Character("Eileen")\ndefine e = Character(kind=a, what_size=10)', "e", "Eileen"),
        ("define 雪 = Character('小雪')", "雪", "小雪"),
        ('default pov = "阿澄"\ndefine e = Character("pov", dynamic=True)', "e", "阿澄"),
        ('default pov = "阿澄"\ndefine e = DynamicCharacter("pov")', "e", "阿澄"),
        ('default pov = "阿澄"\ndefine e = Character("[pov]")', "e", "阿澄"),
        ('default pov = "阿澄"\ndefine e = Character(pov)', "e", "阿澄"),
        ("define e = Character(\"'阿澄'\", dynamic=True)", "e", "阿澄"),
        ('define e = Character("pov", dynamic=True)', "e", "{pov}"),
        ('default pov = "阿澄"\nlabel x:\n    $ pov = ask()\ndefine e = Character("[pov]")', "e", "{pov}"),
        ('default pov = "阿澄"\nlabel x:\n    $ pov += "!"\ndefine e = Character("[pov]")', "e", "{pov}"),
        ('define e = Character("Lei" + "la")', "e", "Leila"),
        ('define e = Character("A" if x else "B")', "e", "e"),
    ],
)
def test_a_character_is_found(definitions: str, who: str, name: str) -> None:
    losses = Losses()
    line = speaks(definitions, who, losses=losses)
    assert (line.speaker, line.display_name, line.speakers) == (name, name, (name,))
    assert not losses.unknown


@pytest.mark.parametrize(
    ("definitions", "who"),
    [
        ("define e = Character(None, kind=nvl)", "e"),
        ('define a = Character("Eileen")\ndefine e = Character(None, kind=a)', "e"),
        ('define e = Character("")', "e"),
        ("define e = NVLCharacter()", "e"),
        ("", "narrator"),
        ("", "centered"),
        ("", "vcentered"),
        ("", "nvl"),
    ],
)
def test_nobody_speaks(definitions: str, who: str) -> None:
    line = speaks(definitions, who)
    assert (line.kind, line.speaker, line.display_name, line.speakers) == ("narration", None, None, ())


@pytest.mark.parametrize(
    ("definitions", "real", "shown"),
    [
        ('define e = Character("？？？")', "？？？", "？？？"),
        (
            'define x = Character("小雪", image="xue")\ndefine e = Character("？？？", image="xue")',
            "小雪",
            "？？？",
        ),
        ('define x = Character("小雪")\ndefine e = Character("???", kind=x)', "小雪", "???"),
        ('define e = Character("？？？")\nlabel x:\n    $ e = Character("小雪")', "小雪", "小雪"),
        ('define e = Character("？？？")\nlabel x:\n    $ e.name = "小雪"', "小雪", "？？？"),
        (
            'default n = "？？？"\ndefine e = Character("n", dynamic=True)\nlabel x:\n    $ n = "小雪"',
            "小雪",
            "小雪",
        ),
        ('define e = Character("小雪（小声）")', "小雪", "小雪（小声）"),
    ],
)
def test_who_is_behind_a_mask(definitions: str, real: str, shown: str) -> None:
    line = speaks(definitions, "e")
    assert (line.speaker, line.display_name) == (real, shown)


def test_two_who_speak_together() -> None:
    cast = "\n".join(
        f'define {key} = Character("{name}")' for key, name in enumerate_names("森海友", "加藤准太")
    )
    line = speaks(f'{cast}\ndefine e = Character(" 森海友·加藤准太")', "e")
    assert (line.speaker, line.speakers) == ("森海友·加藤准太", ("森海友", "加藤准太"))
    assert speaks(cast, '"加藤准太・森海友"').speakers == ("加藤准太", "森海友")
    assert speaks(f'{cast}\ndefine e = Character("森海友＆加藤准太")', "e").speakers == ("森海友", "加藤准太")
    assert speaks(cast, '"阿尔贝·加缪"').speakers == ("阿尔贝·加缪",), "a foreign name is one name"


def enumerate_names(*names: str) -> list[tuple[str, str]]:
    return [(f"c{number}", name) for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("given", "what", "kind", "text"),
    [
        ('what_prefix="「", what_suffix="」"', "おはよう", "speech", "おはよう"),
        ("what_prefix='\"', what_suffix='\"'", "Morning.", "speech", "Morning."),
        ('what_prefix="(", what_suffix=")"', "眠い", "thought", "眠い"),
        ('what_prefix="{i}（", what_suffix="）{/i}"', "眠い", "thought", "眠い"),
        ('what_suffix="。"', "おはよう", "speech", "おはよう。"),
        ("", "（眠い）", "thought", "眠い"),
    ],
)
def test_what_stands_around_each_text(given: str, what: str, kind: str, text: str) -> None:
    line = speaks(f'define e = Character("灯", {given})', "e", what)
    assert (line.kind, line.text, line.raw) == (kind, text, what)
    plain = (
        f'define a = Character("灯", {given})\ndefine e = Character(kind=a, what_prefix="", what_suffix="")'
    )
    assert speaks(plain, "e", "おはよう").text == "おはよう"
    copy = speaks(f'define a = Character("灯", {given})\ndefine e = Character(kind=a)', "e", what)
    assert (copy.kind, copy.text) == (kind, text)


def test_one_who_is_defined_nowhere_speaks_under_the_variable() -> None:
    losses = Losses()
    line = speaks("", "xue", losses=losses)
    assert (line.kind, line.speaker) == ("speech", "xue")
    assert losses.unknown == {"speaker `xue`": 1}


def test_characters_that_are_made_of_themselves() -> None:
    ring = "define e = Character(kind=f)\ndefine f = Character(kind=g)\ndefine g = Character(kind=e)\n"
    assert speaks(ring, "e").speaker is None
    chain = "".join(f"define c{n} = Character('？', kind=c{n + 1})\n" * 10 for n in range(200))
    assert speaks(chain, "c0").speaker == "？"
    named = "".join(f"define c{n} = Character('[c{n + 1}]')\n" for n in range(2000))
    assert speaks(named, "c0").kind == "speech"
