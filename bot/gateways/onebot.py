"""What OneBot v11 frames say, whoever spells them.

NapCat, LLBot, the forks of Lagrange and others differ in ids (numbers, negative numbers, strings), message
formats (segments, CQ strings) and notices. Everything that differs is read here into values that do not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bot.messages import Person, Vote

Frame = Mapping[str, Any]

# Emoji ids as the notices carry them: QQ faces by number, Unicode emoji by decimal code point.
VOTES: Mapping[str, Vote] = {
    "76": "up",  # 赞
    "128077": "up",  # 👍
    "66": "up",  # 爱心
    "10084": "up",  # ❤
    "124": "up",  # OK
    "77": "down",  # 踩
    "128078": "down",  # 👎
    "123": "down",  # NO
}
# Written under her reply, alone: the only way to vote in a private chat, where QQ has no reactions.
THUMBS: Mapping[str, Vote] = {"赞": "up", "👍": "up", "踩": "down", "👎": "down"}
FACES: Mapping[str, str] = {"76": "赞", "77": "踩", "66": "爱心", "124": "OK", "123": "NO", "63": "玫瑰"}
SHOWN: Mapping[str, str] = {
    "image": "图片",
    "record": "语音",
    "video": "视频",
    "file": "文件",
    "onlinefile": "文件",
    "mface": "表情",
    "bface": "表情",
    "json": "卡片",
    "xml": "卡片",
    "miniapp": "小程序",
    "share": "链接",
    "forward": "聊天记录",
    "node": "聊天记录",
    "markdown": "Markdown",
    "poke": "戳一戳",
    "shake": "戳一戳",
    "dice": "骰子",
    "rps": "猜拳",
    "contact": "名片",
    "location": "位置",
    "music": "音乐",
}
# These never took the message. Whatever else failed may have been shown all the same: NapCat's 1200 is any
# exception, a time-out after sending among them.
REFUSED = frozenset({100, 400, 401, 403, 404, 1400, 1401, 1403, 1404})

CQ = re.compile(r"\[CQ:([\w.-]+)((?:,[^,\[\]]*)*)\]")
UNSPEAKABLE = re.compile(r"[^\w.-]")
TONES = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")


class Segment(NamedTuple):
    type: str
    data: Frame


@dataclass(frozen=True, slots=True)
class Words:
    """What a message says to the bot."""

    text: str
    at_me: bool
    quotes: str | None

    @property
    def thumb(self) -> Vote | None:
        return THUMBS.get(TONES.sub("", self.text).strip("[] "))


@dataclass(frozen=True, slots=True)
class Said:
    """A message event, or a line of history, as far as it can be trusted."""

    kind: Literal["private", "group"]
    where: str  # the group, or the other person in private
    through: str | None  # the group through which a stranger writes in private
    id: str
    person: Person
    message: object
    time: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """An emoji put on a message or taken away."""

    group: str | None
    message: str
    user: str
    emoji: str
    added: bool
    time: float | None


def identity(value: object) -> str | None:
    """An id of any spelling; None for what is no id."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | str):
        return whole(str(value)).strip() or None
    return None


def whole(text: str) -> str:
    """JSON may hold half an emoji, which no other program would take."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def wire(identity: str) -> int | str:
    """Numbers go back as the numbers they came as."""
    return int(identity) if re.fullmatch(r"-?\d{1,20}", identity) else identity


def moment(value: object) -> float | None:
    """Unix seconds; NapCat gives milliseconds when it does not know when the message was sent."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    return value / 1000 if value > 1e11 else float(value)


def said(event: Frame) -> Said | None:
    """None for what cannot be answered: another kind of chat, nobody who said it, no id."""
    kind = event.get("message_type")
    sender = event.get("sender")
    if not isinstance(sender, Mapping):
        sender = {}
    user = identity(event.get("user_id")) or identity(sender.get("user_id"))
    message = identity(event.get("message_id"))
    if user is None or message is None:
        return None
    names = (sender.get("card"), sender.get("nickname"))
    name = next((whole(name).strip() for name in names if isinstance(name, str) and name.strip()), user)
    content = event.get("message", event.get("raw_message"))
    group = identity(event.get("group_id")) or identity(sender.get("group_id"))
    base = (message, Person(user, name), content, moment(event.get("time")))
    if kind == "private":
        return Said("private", user, group if event.get("sub_type") == "group" else None, *base)
    if kind == "group" and group is not None:
        return Said("group", group, None, *base)
    return None


def segments(message: object) -> Iterator[Segment]:
    """An array of segments, one segment, or a CQ string; anything else says nothing."""
    if isinstance(message, str):
        yield from _cq(message)
    elif isinstance(message, list):
        for item in message:
            if isinstance(item, str):
                yield Segment("text", {"text": item})
            else:
                yield from segments(item)
    elif isinstance(message, Mapping) and isinstance(message.get("type"), str):
        data = message.get("data")
        yield Segment(message["type"], data if isinstance(data, Mapping) else {})


def _cq(text: str) -> Iterator[Segment]:
    """Codes are split off before anything is unescaped: people may write `&#91;CQ:at,qq=all&#93;`."""
    end = 0
    for code in CQ.finditer(text):
        if code.start() > end:
            yield Segment("text", {"text": _unescape(text[end : code.start()])})
        pairs = (item.partition("=") for item in code[2].split(",") if item)
        yield Segment(code[1], {key: _unescape(value) for key, _, value in pairs})
        end = code.end()
    if end < len(text):
        yield Segment("text", {"text": _unescape(text[end:])})


def _unescape(text: str) -> str:
    return text.replace("&#44;", ",").replace("&#91;", "[").replace("&#93;", "]").replace("&amp;", "&")


def words(message: object, account: str) -> Words:
    """The text with mentions of the bot cut out, and what cannot be read named."""
    shown: list[str] = []
    at_me, quotes = False, None
    for segment in segments(message):
        if segment.type == "reply":
            quotes = quotes or identity(segment.data.get("id"))
        elif segment.type == "at" and identity(segment.data.get("qq")) == account:
            at_me = True
            shown.append(" ")
        else:
            shown.append(_show(segment))
    text = whole("".join(shown)).strip()
    return Words(re.sub(" {2,}", " ", text) if at_me else text, at_me, quotes)


def _show(segment: Segment) -> str:
    kind, data = segment
    if kind == "text":
        text = data.get("text")
        return text if isinstance(text, str) else ""
    if kind == "at":
        whom = identity(data.get("qq"))
        name = data.get("name")
        if whom == "all":
            return "@全体成员"
        return f"@{name.lstrip('@') if isinstance(name, str) and name else whom or '?'} "
    if kind == "face":
        raw = data.get("raw")
        spoken = raw.get("faceText") if isinstance(raw, Mapping) else None
        known = FACES.get(identity(data.get("id")) or "")
        return f"[{known or (spoken.strip('/[] ') if isinstance(spoken, str) else '') or '表情'}]"
    summary = data.get("summary")  # a market face calls itself an image and tells its name here: "[开心]"
    if kind in ("image", "mface") and isinstance(summary, str) and (named := summary.strip("[] ")):
        return f"[{named[:20]}]"
    return f"[{SHOWN.get(kind) or UNSPEAKABLE.sub('', kind)[:20] or '?'}]"


def marks(event: Frame) -> Iterator[Mark]:
    """Reactions: `group_msg_emoji_like` of NapCat and LLBot, `reaction` of Lagrange and its forks."""
    group = identity(event.get("group_id"))
    message = identity(event.get("message_id"))
    user = identity(event.get("operator_id")) or identity(event.get("user_id"))
    if message is None or user is None:  # NapCat does not always know who it was
        return
    time = moment(event.get("time"))
    if event.get("notice_type") == "group_msg_emoji_like":
        likes = event.get("likes")
        added = event.get("is_add") is not False  # older builds report adds only, without the field
        for like in likes if isinstance(likes, list) else ():
            if isinstance(like, Mapping) and (emoji := identity(like.get("emoji_id"))):
                yield Mark(group, message, user, emoji, added, time)
    elif event.get("notice_type") == "reaction":
        emoji, change = identity(event.get("code")), event.get("sub_type")
        if emoji is not None and change in ("add", "remove"):
            yield Mark(group, message, user, emoji, change == "add", time)


def history(data: object) -> list[Frame]:
    """Messages of get_group_msg_history and get_friend_msg_history, oldest first."""
    messages = data.get("messages") if isinstance(data, Mapping) else data
    found = [item for item in messages if isinstance(item, Mapping)] if isinstance(messages, list) else []
    return sorted(found, key=lambda item: moment(item.get("time")) or 0.0)


def author(line: Frame) -> str | None:
    sender = line.get("sender")
    known = identity(sender.get("user_id")) if isinstance(sender, Mapping) else None
    return known or identity(line.get("user_id"))


def spoken(line: Frame, account: str) -> Words:
    return words(line.get("message", line.get("raw_message")), account)


def own(lines: list[Frame], account: str, text: str, since: float) -> Iterator[str]:
    """Messages in a history that say `text` and are ours. Clients change white space on the way."""
    for line in lines:
        message = identity(line.get("message_id"))
        if message is None or author(line) != account or (moment(line.get("time")) or 0) < since:
            continue
        if "".join(spoken(line, account).text.split()) == "".join(text.split()):
            yield message


def bubble(text: str, quotes: str | None) -> list[dict[str, Any]]:
    """Segments, never a string: what she says must not be read as CQ codes."""
    reply = [] if quotes is None else [{"type": "reply", "data": {"id": quotes}}]
    return [*reply, {"type": "text", "data": {"text": text}}]
