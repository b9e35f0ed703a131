"""What the Discord gateway says by itself, and what an emoji there means. Knows no library."""

import re
from collections.abc import Mapping

from bot.messages import Language, Vote

LIMIT = 1900  # characters of a message; of the 2000 that Discord takes, for how it counts is not documented

VOTES: Mapping[str, Vote] = {
    **dict.fromkeys("👍❤🩷🧡💛💚💙🩵💜🤍💕💖💗💓💞💘💝💯😍🥰😘👏🙌🫶👌💪🎉🔥✨⭐🌟🤩😊😁🥳♥", "up"),
    **dict.fromkeys("👎💔😡🤬🤮🤢🙄😠💩🖕😒🥱", "down"),
    "❤\u200d🔥": "up",
}

BUTTONS = {"up": "👍", "down": "👎", "again": "🔄"}

# Descriptions are in both languages: Discord tells a bot nothing of the localized ones when it compares.
COMMANDS = {
    "help": "What you can do here · 可以做什么",
    "reset": "Start afresh: she no longer sees what was said · 从头开始聊",
    "regenerate": "Another answer to the last message · 把上一句重新说一遍",
    "good": "You like her last reply · 喜欢她上一句",
    "bad": "You do not like her last reply · 不喜欢她上一句",
    "export": "A file with everything about you here · 把这里关于你的一切发给你",
    "forget": "Delete everything about you here · 删除这里关于你的一切",
}
CONSENT = "May she learn from what you say here? · 要不要让她从你说的话里学习"
CONSENT_ANSWER = "Without it: what it means, and what you said last · 不填：说明和现在的状态"
CONSENT_ANSWERS = {"on": "yes · 同意", "off": "no · 不同意"}
CHARACTER = "Who is here, and who you talk to · 看看都有谁，换一个人"
CHARACTER_NAME = "Who you want to talk to · 想和谁说话"

TEXTS: Mapping[str, Mapping[Language, str]] = {
    "up": {"zh": "记下了：👍。再点一次就收回。", "en": "Noted: 👍. Press it again to take it back."},
    "down": {"zh": "记下了：👎。再点一次就收回。", "en": "Noted: 👎. Press it again to take it back."},
    "back": {"zh": "收回了。", "en": "Taken back."},
    "unknown": {"zh": "这句话已经没有记录了。", "en": "There is no record of this reply any more."},
    "taken": {"zh": "好，马上。", "en": "On its way."},
    "elsewhere": {
        "zh": "我不在这个频道里，没法在这里说话。请私聊我，或者把我加进这个服务器。",
        "en": "I am not in here, so I cannot talk here. Write to me directly, or add me to this server.",
    },
    "forget?": {
        "zh": "这会永远删除你和这里的角色说过的话、她们的回答和你的评价。确定吗？",
        "en": "This deletes for ever what you and the characters said here, and your votes. Are you sure?",
    },
    "forget": {"zh": "全部忘掉", "en": "Forget everything"},
    "unread": {
        "zh": "（Discord 没有让我看到这条消息的内容：回复时请打开 @ 提醒，或者直接 @ 我。）",
        "en": "(Discord did not show me these words: switch the reply's @ on, or mention me.)",
    },
}


def vote(emoji: str) -> Vote | None:
    """What an emoji says of a reply, whatever its skin tone and whether it asks for a colourful picture."""
    return VOTES.get(re.sub("[\U0001f3fb-\U0001f3ff\ufe0f]", "", emoji))


def pieces(text: str) -> list[str]:
    return [text[start : start + LIMIT] for start in range(0, len(text), LIMIT)]


def outline(error: BaseException) -> str:
    """One line; many network errors have no text of their own."""
    return f"{type(error).__name__}: {error}".removesuffix(": ").splitlines()[0]
