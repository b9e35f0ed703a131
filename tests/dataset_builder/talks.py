"""Dialogues of our own for tests of what becomes of them: 微, who keeps a bookshop, and who comes in."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_builder.schema import Dialogue, Kind, Turn, Utterance
from inference.characters import Character, load_character

CARD = (
    '{"name": "知微", "description": "夜里开门的书店老板。", "extensions": {"chatnvl": {"language": "zh"}}}'
)
_LETTERS = "雨夜书店灯光街角猫茶信纸旧门窗风铃伞影月云海山路桥河花草木石火水金土天地人心手足目耳口鼻"


def character(folder: Path) -> Character:
    home = folder / "zhiwei"
    home.mkdir(parents=True, exist_ok=True)
    (home / "card.json").write_text(CARD, encoding="utf-8")
    return load_character(home)


def said(text: str, speaker: str | None = "陈屿", kind: Kind = "speech", **translations: str) -> Utterance:
    return Utterance(kind, speaker, text, translations)


def told(text: str, **translations: str) -> Utterance:
    return said(text, None, "narration", **translations)


def dialogue(
    *turns: Turn, id: str = "", scene: str = "", file: str = "雨.ks", language: str = "zh"
) -> Dialogue:
    return Dialogue("知微", turns, id=id, work="雨夜", file=file, scene=scene, language=language)


def talks() -> list[Dialogue]:
    """Three scenes: two people with translations into Japanese and English, three people, a silent start."""
    return [
        dialogue(
            Turn(
                (
                    told("雨下大了。", ja="雨が強くなった。", en="The rain grew."),
                    said("还开着吗？", ja="まだ開いてる？", en="Open?"),
                ),
                "开着，鞋底蹭一蹭。",
                {"ja": "開いてるよ、靴を拭いて。", "en": "Open. Wipe your shoes."},
            ),
            Turn(
                (said("买把伞", None, "choice", ja="傘を買う", en="Buy an umbrella"),),
                "伞不卖，借你。",
                {"ja": "売らないよ、貸してあげる。", "en": "Not for sale. Borrow it."},
                thought="他会还吗。",
            ),
            id="a",
            scene="门",
        ),
        dialogue(
            Turn(
                (said("这本多少钱？"), said("别卖给他。", "阿婆"), told("猫叫了一声。")), "都别吵，猫要睡了。"
            ),
            id="b",
            scene="柜台",
        ),
        dialogue(
            Turn((), "有人吗？我好像听见门响。"),
            Turn((said("是我。"), said("（是她）", "陈屿", "thought")), "哦，是你啊。"),
            id="c",
            scene="后门",
        ),
    ]


def many(count: int, *, seed: int = 1, scenes: int = 0, lines: int = 3) -> Iterator[Dialogue]:
    """Dialogues that have nothing in common, a few to each of `scenes` scenes."""
    random_ = random.Random(seed)

    def line() -> str:
        return "".join(random_.choices(_LETTERS, k=random_.randint(8, 30))) + "。"

    def turn() -> Turn:
        return Turn((told(line()), said(line())), line())

    for number in range(count):
        turns = [turn() for _ in range(random_.randint(1, lines))]
        yield dialogue(
            *turns, id=f"{number:08x}", scene=f"第{number % (scenes or count)}场", file=f"{number % 7}.ks"
        )


def answers(rows: Sequence[dict[str, object]]) -> list[str]:
    """What the character says in rows of `messages`."""
    return [each["content"] for row in rows for each in row["messages"] if each["role"] == "assistant"]  # type: ignore[attr-defined]
