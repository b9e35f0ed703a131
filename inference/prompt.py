"""The one place where a prompt is written, for serving and for training.

A prompt grows at its end only: `[character: static] [window] [last message]`. vLLM then finds all but the
last lines in its prefix cache. So the static part holds no clock, no user's name, nothing random, and a
person's message is written the same way when it is the last one and when it has become history.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from dataset_builder.schema import LanguageModelingRow, Message
from inference.characters import Character

NAME_LENGTH = 24
QUOTE_LENGTH = 200

# Mistral's and GLM's tokens: [INST], [/INST], [TOOL_CALLS], [gMASK], ...
_BRACKETED = re.compile(r"\[(/?[gs]?[A-Z][A-Z0-9_]{2,40})\]")
# Everybody else's: <|im_start|>, <s>, </tool_call>, <<SYS>>; without its first bracket none is a token.
_ANGLED = re.compile(r"<(?=[|｜<]|[^\s>]{1,64}>)")
_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Who speaks is said by the chat template alone; a person of such a name is written in brackets.
_ROLES = frozenset({"system", "user", "assistant", "developer", "tool", "function", "model", "ipython"})

_WORDS = {
    "zh": {
        "you": "对方",
        "are": "你是{name}。你正在和喜欢你的人聊天，始终以{name}的身份说话，用中文，口语化，"
        "简短自然，不说自己是人工智能或助手。",
        "personality": "性格：",
        "scenario": "场景：",
        "example": "说话的样子：",
        "greeting": "你的开场白：",
        "quote": "（引用“{quote}”）",
    },
    "en": {
        "you": "the other person",
        "are": "You are {name}. You are chatting with someone who likes you. Always speak as {name}, "
        "in English, short and natural; never say that you are an AI or an assistant.",
        "personality": "Personality: ",
        "scenario": "Scene: ",
        "example": "How you speak: ",
        "greeting": "You opened with: ",
        "quote": '(about "{quote}")',
    },
    "ja": {
        "you": "相手",
        "are": "あなたは{name}です。あなたを好きな人とチャットしています。いつも{name}として、"
        "日本語の話し言葉で短く自然に話し、自分がAIやアシスタントだとは言いません。",
        "personality": "性格：",
        "scenario": "場面：",
        "example": "話し方：",
        "greeting": "最初の言葉：",
        "quote": "（「{quote}」について）",
    },
}

LANGUAGES = tuple(_WORDS)  # that a character can be told to speak


class Said(BaseModel):
    """One message of a person, as it was taken in."""

    model_config = ConfigDict(frozen=True)

    text: str
    name: str = ""  # set where several people talk, so that she knows who is who
    quoted: str = ""  # what it replies to, when that is not her last line


class Exchange(BaseModel):
    """A turn that is over: what was said (several messages of a burst are one turn), and what she
    answered."""

    model_config = ConfigDict(frozen=True)

    said: tuple[Said, ...]
    reply: str


def exchange(said: str, reply: str) -> Exchange:
    """A turn of two people: one message, one answer."""
    return Exchange(said=(Said(text=said),), reply=reply)


def clean(text: str) -> str:
    """People's text without what would act on the machine instead of being read.

    Control, bidirectional and zero-width characters go (line ends and tabs stay). Anything shaped like a
    special token of a chat template (`<|im_start|>`, `<s>`, `</tool_call>`, `<｜User｜>`, `[INST]`) is given
    other brackets, so no tokenizer reads it as one; ordinary `a < b` and `<3` stay.
    """
    if not text.replace("\n", "").isprintable():  # rare, and letter by letter is slow: a prompt has thousands
        text = "".join(
            c
            for c in _LINE_ENDS.sub("\n", text)
            if c in "\n\t\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
        )
    text = unicodedata.normalize("NFC", text)
    return _ANGLED.sub("‹", _BRACKETED.sub(r"［\1］", text))


def clean_name(name: str) -> str:
    """A display name that cannot pretend to be a role, a line or a markup. At most 24 characters; "?" if
    nothing is left.
    """
    flat = " ".join(clean(unicodedata.normalize("NFKC", name)).split())
    flat = "".join(c for c in flat if c not in '[]{}<>‹›`:："“”\\|\u200d')
    flat = flat[:NAME_LENGTH].strip() or "?"
    return f"({flat})" if flat.casefold() in _ROLES else flat


def system_text(character: Character) -> str:
    """The static part: who she is. A pure function of the card."""
    card = character.card
    words = _WORDS[character.language]
    rule = words["are"].format(name=character.name)
    if card.system_prompt:
        rule = card.system_prompt.replace("{{original}}", rule)
    parts = [
        rule,
        card.description,
        card.personality and words["personality"] + card.personality,
        card.scenario and words["scenario"] + card.scenario,
        card.mes_example and words["example"] + card.mes_example,
        # The greeting stands here and not as a first assistant message: many chat templates want the user
        # first.
        card.first_mes and words["greeting"] + card.first_mes,
        # At the end of the prompt, where the card's spec wants it, it would move with every turn and spoil
        # the cache.
        card.post_history_instructions.replace("{{original}}", ""),
    ]
    text = "\n".join(part.strip() for part in parts if part.strip())
    for macro, value in (("char", character.name), ("user", words["you"])):
        for form in (macro, macro.capitalize(), macro.upper()):
            text = text.replace("{{" + form + "}}", value)
    return clean(text.replace("<START>", ""))


def user_text(character: Character, said: Iterable[Said]) -> str:
    """A person's side of one turn: a line a message, with names where several people talk.

    There a message is one line, whatever it holds: a line end inside it could put words in somebody else's
    mouth.
    """
    lines = []
    for message in said:
        quote = " ".join(clean(message.quoted).split())
        if len(quote) > QUOTE_LENGTH:
            quote = quote[:QUOTE_LENGTH] + "…"
        text, head = clean(message.text).strip(), ""
        if message.name:
            name = clean_name(message.name)
            if name.casefold() == character.name.casefold():
                name = f"({name})"
            text, head = " ".join(text.split()), f"{name}: "
        about = _WORDS[character.language]["quote"].format(quote=quote) if quote else ""
        lines.append(head + about + text)
    return "\n".join(lines)


def messages(character: Character, window: Sequence[Exchange], last: Iterable[Said]) -> list[Message]:
    """What is sent: the character, the turns of the window, and what is to be answered."""
    written = [Message(role="system", content=system_text(character))]
    for turn in window:
        written.append(Message(role="user", content=user_text(character, turn.said)))
        written.append(Message(role="assistant", content=clean(turn.reply)))
    written.append(Message(role="user", content=user_text(character, last)))
    return written


def training_row(character: Character, turns: Sequence[Exchange]) -> LanguageModelingRow:
    """A dialogue as the served model will see it: the same static part, the same writing of every turn."""
    *window, last = turns
    written = messages(character, window, last.said)
    return LanguageModelingRow(messages=(*written, Message(role="assistant", content=clean(last.reply))))
