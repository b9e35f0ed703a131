"""What is asked about a character, in Chinese, Japanese and English."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """A topic in one language. `answer` tells findings, with `{name}` and `{values}` (or `{0}` and `{1}`);
    "" if only a model can answer. `query` are words of lines that may tell; "" if no model is asked.
    """

    question: str
    answer: str = ""
    query: str = ""


# In the order of a profile; all languages have the same topics.
TOPICS: dict[str, dict[str, Wording]] = {
    "zh": {
        "name": Wording("{name}叫什么名字？", "名字是{values}。"),
        "age": Wording("{name}多大了？", "{values}岁。", "今年 岁 年纪 年龄 多大"),
        "birthday": Wording("{name}的生日是什么时候？", "生日是{values}。", "生日 出生 月 日 蛋糕 礼物"),
        "occupation": Wording(
            "{name}是做什么的？", "{name}是{values}。", "工作 学校 年级 社团 部 打工 上班 店 职业 学生"
        ),
        "relations": Wording(
            "{name}的家人和身边的人都有谁？", "{values}。", "家人 爸爸 妈妈 哥哥 姐姐 弟弟 妹妹 朋友 青梅竹马"
        ),
        "companions": Wording("{name}常和谁说话？", "说话最多的是{values}。"),
        "hobby": Wording(
            "{name}有什么爱好？", "爱好是{values}。", "爱好 兴趣 休息日 假日 平时 玩 练习 收集 看书 音乐"
        ),
        "likes": Wording("{name}喜欢什么？", "喜欢{values}。", "喜欢 最喜欢 爱吃 好吃 可爱 开心"),
        "dislikes": Wording("{name}讨厌或害怕什么？", "不喜欢{values}。", "讨厌 害怕 怕 受不了 不擅长 恶心"),
        "appearance": Wording("{name}长什么样？", query="头发 眼睛 个子 身高 衣服 制服 眼镜 可爱 漂亮 帅"),
        "personality": Wording(
            "{name}是什么样的性格？", query="性格 温柔 认真 倔强 害羞 善良 开朗 冷淡 总是 老是"
        ),
        "wish": Wording("{name}有什么梦想或目标？", query="梦想 目标 将来 想成为 希望 想要 决定 努力"),
        "past": Wording("{name}以前发生过什么？", query="以前 从前 小时候 那时候 过去 记得 曾经 搬家"),
        "pronoun": Wording("{name}怎么称呼自己？", "自称“{values}”。"),
        "address": Wording("{name}怎么称呼别人？", "会叫：{values}。"),
        "endings": Wording("{name}说话时句尾有什么习惯？", "句尾常带“{values}”。"),
        "phrases": Wording("{name}常说哪些词？", "常说“{values}”。"),
        "length": Wording("{name}说话长吗？", "一句话通常{0}个字左右，其他人是{1}个字。"),
    },
    "ja": {
        "name": Wording("{name}の名前は？", "名前は{values}です。"),
        "age": Wording("{name}は何歳？", "{values}歳です。", "歳 才 年齢 今年で 年上 年下 いくつ"),
        "birthday": Wording(
            "{name}の誕生日はいつ？", "誕生日は{values}です。", "誕生日 生まれ プレゼント ケーキ 月 日"
        ),
        "occupation": Wording(
            "{name}は何をしている人？",
            "{name}は{values}です。",
            "仕事 学校 学年 年生 部活 部員 バイト 店 職業",
        ),
        "relations": Wording(
            "{name}の家族や親しい人は？", "{values}。", "家族 父 母 兄 姉 弟 妹 友達 親友 幼なじみ"
        ),
        "companions": Wording("{name}は誰とよく話す？", "よく話す相手は{values}です。"),
        "hobby": Wording(
            "{name}の趣味は？", "趣味は{values}です。", "趣味 休みの日 休日 普段 練習 集める 読書 音楽 ゲーム"
        ),
        "likes": Wording(
            "{name}の好きなものは？",
            "好きなものは{values}です。",
            "好き 大好き 美味しい 可愛い 嬉しい 楽しい",
        ),
        "dislikes": Wording(
            "{name}の苦手なものは？", "苦手なものは{values}です。", "嫌い 苦手 怖い 無理 嫌だ 駄目"
        ),
        "appearance": Wording("{name}はどんな見た目？", query="髪 目 瞳 背 身長 服 制服 眼鏡 可愛い 綺麗"),
        "personality": Wording(
            "{name}はどんな性格？", query="性格 優しい 真面目 頑固 照れ 明るい 素直 いつも"
        ),
        "wish": Wording("{name}の夢や目標は？", query="夢 目標 将来 なりたい 願い 叶え 頑張る 決めた"),
        "past": Wording("{name}の昔に何があった？", query="昔 子供の頃 小さい頃 あの時 覚えて 以前 引っ越し"),
        "pronoun": Wording("{name}の一人称は？", "一人称は「{values}」です。"),
        "address": Wording("{name}は人を何と呼ぶ？", "「{values}」と呼びます。"),
        "endings": Wording("{name}の語尾の癖は？", "文の終わりによく「{values}」と付けます。"),
        "phrases": Wording("{name}の口癖は？", "「{values}」とよく言います。"),
        "length": Wording("{name}の台詞は長い？", "台詞は{0}文字くらい、他の人は{1}文字くらいです。"),
    },
    "en": {
        "name": Wording("What is {name}'s name?", "The name is {values}."),
        "age": Wording(
            "How old is {name}?", "{values} years old.", "old age years birthday older younger turned"
        ),
        "birthday": Wording(
            "When is {name}'s birthday?", "The birthday is {values}.", "birthday born cake present"
        ),
        "occupation": Wording(
            "What does {name} do?",
            "{name}: {values}.",
            "work job school student class club boss shop study teacher",
        ),
        "relations": Wording(
            "Who are {name}'s family and friends?",
            "{values}.",
            "family father mother dad mum mom brother sister friend uncle aunt grandmother husband wife",
        ),
        "companions": Wording("Whom does {name} talk with most?", "Mostly with {values}."),
        "hobby": Wording(
            "What are {name}'s hobbies?",
            "Hobbies: {values}.",
            "hobby weekend spare time play practise collect read music",
        ),
        "likes": Wording(
            "What does {name} like?", "Likes {values}.", "love like adore enjoy favourite favorite best happy"
        ),
        "dislikes": Wording(
            "What does {name} dislike or fear?",
            "Dislikes {values}.",
            "hate dislike afraid scared fear terrible worst",
        ),
        "appearance": Wording(
            "What does {name} look like?",
            query="hair eyes tall short dress coat wear face pretty beautiful glasses",
        ),
        "personality": Wording(
            "What is {name} like as a person?",
            query="kind stubborn shy gentle honest always never temper brave polite",
        ),
        "wish": Wording(
            "What does {name} wish for?", query="dream want wish hope someday future become promise plan goal"
        ),
        "past": Wording(
            "What happened to {name} before the story?",
            query="used to years ago remember child once grew up when I was",
        ),
        "pronoun": Wording("What does {name} call herself or himself?", 'Says "{values}".'),
        "address": Wording("What does {name} call other people?", "Calls them {values}."),
        "endings": Wording("How do {name}'s sentences end?", 'Often end in "{values}".'),
        "phrases": Wording("What does {name} often say?", 'Often says "{values}".'),
        "length": Wording("How long are {name}'s lines?", "About {0} letters; other people's have {1}."),
    },
}
_BETWEEN = {"zh": "、", "ja": "、", "en": ", "}
_QUOTED = {"zh": "”“", "ja": "」「", "en": '", "'}


def base_language(language: str) -> str:
    """The language of the wording: zh, ja or en, which stands in for all others."""
    base = language.partition("-")[0]
    return base if base in TOPICS else "en"


def told(wording: Wording, language: str, name: str, values: tuple[str, ...]) -> str:
    """A finding as a sentence."""
    base = base_language(language)
    quoted = any(f"{mark}{{values}}" in wording.answer for mark in '“「"')
    listed = (_QUOTED if quoted else _BETWEEN)[base].join(values)
    parts = {"{name}": name, "{values}": listed} | {f"{{{at}}}": value for at, value in enumerate(values)}
    text = wording.answer
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text
