"""Three small works of our own, in Japanese, Chinese and English, for what is told about a character."""

from dataset_builder.lines import other_line, spoken
from dataset_builder.schema import Line, Scene, Source


def scene(name: str, language: str, text: str, file: str = "a.ks") -> Scene:
    """A scene from lines `name：speech`, `> choice` or narration."""
    lines: list[Line] = []
    for number, raw in enumerate(text.strip().splitlines(), 1):
        line = raw.strip()
        source = Source(file, number)
        name_plate, colon, said = line.partition("：")
        if line.startswith("> "):
            lines.append(other_line(len(lines), "choice", line[2:], line, source))
        elif colon and len(name_plate) <= 16:
            lines.append(spoken(len(lines), name_plate, said, line, source))
        else:
            lines.append(other_line(len(lines), "narration", line, line, source))
    return Scene("w", file, name, language=language, lines=lines)


JA = [
    scene(
        "start",
        "ja",
        """
        放課後の屋上。
        七瀬澪：こんにちは、先輩！ 今日も猫を探してるんですか？
        相馬翔太：澪、お前も来たのか。
        七瀬澪：わたしは七瀬澪です。星見台学園の二年生なのです。
        相馬翔太：知ってるよ。お前、いくつになったんだ？
        七瀬澪：わたしは今年で十七歳なのです。誕生日は七月十日なのです。
        七瀬澪：趣味は天体観測です。
        相馬翔太：俺の趣味は昼寝だ。
        七瀬澪：わたし、甘いものが大好きなのです！ 辛いものは苦手なのです。
        """,
    ),
    scene(
        "home",
        "ja",
        """
        七瀬澪：ただいまなのです。
        七瀬灯：おかえり、お姉ちゃん。
        七瀬澪：灯はわたしの妹なのです。
        七瀬灯：澪は私の姉だよ。お姉ちゃんは猫が好きだよね？
        七瀬澪：相馬先輩に星見台学園の望遠鏡を借りたのです。
        七瀬灯：星見台学園は丘の上にある古い学校だよ。
        七瀬澪：わたしの夢は新しい星を見つけることなのです。
        相馬翔太：俺は二十歳になったら酒を飲む。
        七瀬灯：私は翔太さんのことが苦手。
        """,
    ),
]

ZH = [
    scene(
        "雨",
        "zh",
        """
        顾小雨：你好呀，要借伞吗？
        林诚：你是谁？
        顾小雨：我叫顾小雨，是这家店的店长。我今年十八岁。
        林诚：你的生日是什么时候？
        顾小雨：我的生日是三月九日。我最喜欢下雨天了！
        林诚：我不喜欢雨。
        顾小雨：我的爱好是修旧伞啦。我讨厌打雷。
        林诚：顾小雨是我表妹。
        顾小雨：林诚就是我的表哥嘛。
        顾小雨：听雨巷是条很老的巷子啦。
        林诚：听雨巷是我长大的地方。
        """,
    ),
    scene(
        "晴",
        "zh",
        """
        林诚：小雨，天晴了。
        顾小雨：我都十九岁了，你还叫我小孩。
        顾小雨：伞都修好啦，拿去嘛！
        林诚：谢谢你的伞。
        """,
        "b.ks",
    ),
]

EN = [
    scene(
        "harbour",
        "en",
        """
        Wren Hollis：Hello there! You look lost.
        Tobias：Who are you?
        Wren Hollis：My name is Wren. I'm twenty-three years old, aye.
        Tobias：My birthday is May 2nd.
        Wren Hollis：My birthday is October 31st. I love old maps, aye. I'm the keeper of this library.
        Wren Hollis：My hobby is mending boats. I can't stand loud bells, aye.
        Tobias：Wren is my cousin. Do you like bells?
        Wren Hollis：My brother Tobias is a fool, aye. Hollowmere is a drowned town.
        Tobias：Hollowmere is where we were born.
        """,
    ),
    scene(
        "night",
        "en",
        """
        The lamp went out.
        Tobias：Are you awake?
        Wren Hollis：I used to sail to Hollowmere every spring, aye.
        Tobias：I'm thirty.
        Wren Hollis：My dream is a boat of my own.
        """,
        "b.rpy",
    ),
]
WORKS = {"ja": JA, "zh": ZH, "en": EN}
NAMES = {"ja": ("七瀬澪", "澪"), "zh": ("顾小雨", "小雨"), "en": ("Wren Hollis",)}
