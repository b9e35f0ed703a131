"""Ren'Py's markup."""

import pytest

from dataset_builder.report import Losses
from dataset_builder.schema import Ruby
from tests.dataset_builder.engines.renpy_game import lines


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("plain", "plain"),
        ("{b}Good{/b} {i}ending{/i}.", "Good ending."),
        ("{color=#0080FF}听取了意见{/color}。", "听取了意见。"),
        ("One{w} two{w=1.5} three{nw}", "One two three"),
        ("One.{p}Two.", "One. Two."),
        ("一。{p=1.5}二。", "一。二。"),
        ("space{space=30}tag, {vspace=3}line", "space tag, line"),
        ("{image=heart.png}{a=https://example.org}link{/a}{#note}", "link"),
        ("shown{done}hidden", "shown"),
        ("{alt}spoken by a screen reader{/alt}{noalt}<3{/noalt}", "<3"),
        ("{=big}style{/=big}{size=+10}{font=x.ttf}{cps=*2}{fast}", "style"),
        ("a {{b} tag", "a {b} tag"),
        ("[[not a value]", "[not a value]"),
        ("100%% and 5%", "100% and 5%"),
        ("Hi [name]!", "Hi {name}!"),
        ("Hi [name!q], [hero.name!tu] [money:.2f] [list[0]]", "Hi {name}, {hero.name} {money} {list[0]}"),
        ("Hi %(name)s", "Hi {name}"),
        ("[e] and [l.name!q] are in", "Eileen and 林晚 are in"),
        ("Hi [known], [marked], [marked!q]", "Hi Eve, bold, {b}bold{/b}"),
        ("an open [bracket", "an open [bracket"),
        ("an open {brace", "an open {brace"),
        (r"one\ntwo", "one two"),
        (r"一\n二", "一二"),
        ("【灯】は名前。【【灯|x】", "【灯】は名前。【灯|x】"),
    ],
)
def test_a_text_as_it_is_read(what: str, text: str) -> None:
    script = f'define known = "Eve"\ndefine marked = "{{b}}bold{{/b}}"\nlabel a:\n    e "{what}"\n'
    (line,) = lines(script)
    assert line.text == text


@pytest.mark.parametrize(
    ("what", "text", "ruby"),
    [
        ("{rb}東京{/rb}{rt}とうきょう{/rt}へ", "東京へ", [Ruby("東京", "とうきょう")]),
        (
            "{rb}東{/rb}{rt}とう{/rt}{rb}京{/rb}{art}きょう{/art}",
            "東京",
            [Ruby("東", "とう"), Ruby("京", "きょう")],
        ),
        ("【東京|とうきょう】へ【行｜い】く", "東京へ行く", [Ruby("東京", "とうきょう"), Ruby("行", "い")]),
        ("{rt}よみ{/rt}だけ", "だけ", []),
        ("{rb}{b}灯{/b}{/rb}{rt}あかり{/rt}", "灯", [Ruby("灯", "あかり")]),
    ],
)
def test_ruby(what: str, text: str, ruby: list[Ruby]) -> None:
    (line,) = lines(f'label a:\n    e "{what}"\n')
    assert (line.text, list(line.ruby)) == (text, ruby)
    assert all(each.base in line.text for each in line.ruby)


def test_tags_of_the_game_are_taken_away_and_counted() -> None:
    losses = Losses()
    (line,) = lines('label a:\n    e "{shake=3}Boo{/shake}!"\n', losses)
    assert line.text == "Boo!"
    assert losses.unknown == {"{shake}": 1, "{/shake}": 1}


def test_a_text_that_is_all_markup_is_quick() -> None:
    for piece in ("{rb}", "{rt}", "{/rb}", "[", "【", "{", "[[", "{rb}a{/rb}{rt}b{/rt}"):
        lines(f'label a:\n    e "x{piece * 8000}"\n')
