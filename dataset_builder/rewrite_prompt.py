"""The words in which a model is asked to rebuild a dialogue, in the dialogue's language."""

from collections.abc import Sequence

from dataset_builder.schema import Dialogue, Utterance
from inference.prompt import clean

PROMPT = "rewrite-1"  # changes with every word below: answers to another version are not used
_CONTEXT = 6  # utterances before the dialogue that are shown

_SHAPE = '{"turns": [{"turn": 1, "user": "…", "answer": "…"}]}'

_SYSTEM = {
    "zh": (
        "下面是视觉小说里的一段对话，{name}说的话以“{name}：”开头。请把它改写成聊天：一个在故事之外、喜欢{name}的人"
        "给{name}发消息，{name}回答。\n"
        "每一轮：\n"
        "- user：这个人发来的话，像平时聊天那样自然，让{name}的回答接得上。"
        "不写场景、动作和旁白，前面不加名字。\n"
        "- answer：{name}的回答。尽量保留原来的用词、口吻和说话习惯，只改离开场景就说不通的地方。"
        "只写说出口的话，不写动作和心理，前面不加名字。\n"
        "- turn：原对话里这一轮的编号，按顺序。离开场景就没有意义的轮次请略去；"
        "一轮都留不下，turns 就是空的。\n"
        "不编造事实，不像助手那样说话，用{language}写。只回答 JSON：{shape}"
    ),
    "ja": (
        "次はビジュアルノベルの会話です。{name}の台詞は「{name}：」で始まります。これをチャットに書き直してください。"
        "物語の外にいる、{name}のことが好きな人がメッセージを送り、{name}が答えます。\n"
        "各ターンについて：\n"
        "- user：その人のメッセージ。普段のチャットのように自然で、{name}の答えにつながること。"
        "場面、動作、地の文は書かず、前に名前を付けない。\n"
        "- answer：{name}の答え。元の言葉、口調、口癖をできるだけ残し、場面の外では通じない所だけ直す。"
        "口に出す言葉だけを書き、動作や心の声は書かず、前に名前を付けない。\n"
        "- turn：元の会話でのターンの番号を順番に。場面の外では意味のないターンは省く。"
        "何も残らなければ turns は空にする。\n"
        "事実を作らない。アシスタントのように話さない。{language}で書く。JSON だけを答えてください：{shape}"
    ),
    "en": (
        'This is a dialogue of a visual novel; {name}\'s lines begin with "{name}:". Rebuild it as a chat: '
        "a person outside of the story who likes {name} writes messages, and {name} answers.\n"
        "For each turn:\n"
        "- user: what the person writes, natural as in any chat, so that {name}'s answer follows from it. "
        "No scene, no actions, no narration, no name in front.\n"
        "- answer: {name}'s answer. Keep the words, the tone and the habits of speech; change only what "
        "makes no sense outside of the scene. Only what is said aloud: no actions, no thoughts, no name in "
        "front.\n"
        "- turn: the number of the turn in the dialogue, in order. Leave out turns that mean nothing outside "
        "of the scene; if none is left, turns is empty.\n"
        "Invent no facts. Never sound like an assistant. Write in {language}. Answer with JSON alone: {shape}"
    ),
}
_FORBIDDEN = {"zh": "\n不要提到：", "ja": "\n次の言葉は使わない：", "en": "\nDo not mention: "}
_LANGUAGES = {
    "zh": "中文",
    "zh-Hant": "繁体中文",
    "ja": "日本語",
    "en": "English",
    "ko": "Korean",
    "": "the language of the dialogue",
}
_COLON = {"zh": "：", "ja": "：", "en": ": "}
_TURN = {"zh": "第{number}轮", "ja": "ターン{number}", "en": "Turn {number}"}
_BEFORE = {"zh": "之前：", "ja": "その前：", "en": "Before:"}


def system_text(name: str, language: str, forbidden: Sequence[str]) -> str:
    """What is to be done."""
    words = _words(language)
    text = _SYSTEM[words].replace("{name}", clean(name)).replace("{shape}", _SHAPE)
    text = text.replace("{language}", _LANGUAGES.get(language, language))
    if forbidden:
        text += _FORBIDDEN[words] + ", ".join(map(clean, forbidden))
    return text


def user_text(dialogue: Dialogue) -> str:
    """The dialogue, its turns numbered from 1."""
    words = _words(dialogue.language)
    lines = []
    if dialogue.context:
        lines += [_BEFORE[words], *(_line(each, words) for each in dialogue.context[-_CONTEXT:]), ""]
    for number, turn in enumerate(dialogue.turns, 1):
        lines.append(_TURN[words].replace("{number}", str(number)))
        lines += [_line(each, words) for each in turn.said]
        lines.append(_line(Utterance("speech", dialogue.character, turn.answered), words))
    return "\n".join(lines)


def _line(said: Utterance, words: str) -> str:
    text = " ".join(clean(said.text).split())
    if said.kind == "choice":
        return f"> {text}"
    if said.speaker is None:
        return text if said.kind == "speech" else f"({text})"
    return f"{clean(said.speaker)}{_COLON[words]}{text if said.kind == 'speech' else f'({text})'}"


def _words(language: str) -> str:
    base = language.partition("-")[0]
    return base if base in _SYSTEM else "en"
