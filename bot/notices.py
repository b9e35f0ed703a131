"""Everything the bot itself says to people, in their language. Not in the character's voice: she does not
know of it.
"""

from bot.messages import Language

_TEXTS: dict[str, dict[Language, str]] = {
    "help": {
        "zh": "你正在和{name}说话，直接发消息就好。\n"
        "/character 看看都有谁，/character 名字 换一个人\n"
        "/regenerate 让她把上一句重新说一遍\n"
        "/good /bad 喜欢或不喜欢她上一句（也可以点表情）\n"
        "/reset 从头开始聊（她不再记得之前的话）\n"
        "/consent 要不要让她从你说的话里学习（默认不会）\n"
        "/export 把这里关于你的一切发给你\n"
        "/forget 删除这里关于你的一切\n"
        "她是一个会模仿角色说话的程序，不是真人。",
        "en": "You are talking with {name}: just write.\n"
        "/character shows who is here, /character NAME changes who you talk to\n"
        "/regenerate asks for another answer to the last message\n"
        "/good /bad say whether you like her last reply (a thumb on it does the same)\n"
        "/reset starts afresh (she no longer sees what was said)\n"
        "/consent says whether she may learn from what you say (she does not unless you allow it)\n"
        "/export gives you everything about you here\n"
        "/forget deletes everything about you here\n"
        "She is a program that speaks as a character, not a person.",
    },
    "characters": {"zh": "这里有：{list}。现在是{name}。", "en": "Here are: {list}. Now it is {name}."},
    "switched": {"zh": "现在和你说话的是{name}。", "en": "You are now talking with {name}."},
    "no-character": {
        "zh": "这里没有“{wanted}”。有：{list}。",
        "en": "There is no “{wanted}” here. There are: {list}.",
    },
    "no-command": {
        "zh": "没有“/{wanted}”这个命令。发 /help 看看有什么。",
        "en": "There is no command “/{wanted}”. /help shows what there is.",
    },
    "reset": {"zh": "好，从头开始。", "en": "Done: a fresh start."},
    "forget?": {
        "zh": "这会永远删除你和这里的角色说过的话、她们的回答和你的评价。确定的话，请发 /forget yes",
        "en": "This deletes for ever what you and the characters said here, and your votes. "
        "If you are sure: /forget yes",
    },
    "forgotten": {"zh": "都忘掉了（删除了 {count} 轮对话）。", "en": "Forgotten ({count} turns deleted)."},
    "yes": {"zh": "同意", "en": "yes"},
    "no": {"zh": "不同意", "en": "no"},
    "consent?": {
        "zh": "要不要让她从你在这里说的话里学习？现在是：{state}。\n"
        "同意的话，从现在起，你在这里的话、她的回答和你的评价会被机器人的主人保存，用来训练她的新版本。"
        "保存的记录里没有你的名字和号码，只有一个代号。不同意也能照常聊天。\n"
        "已经训练出来的版本没有办法忘掉学过的东西。/forget 会删掉记录，并标出用过它们的版本。\n"
        "/consent on 同意，/consent off 随时收回",
        "en": "May she learn from what you say here? Now: {state}.\n"
        "If you agree, from now on your messages here, her replies and your votes are kept by the bot's "
        "owner and used to train new versions of her. The records hold a code instead of your name and "
        "number. Talking with her works the same if you do not agree.\n"
        "A version that has been trained cannot un-learn. /forget deletes the records and marks the versions "
        "that used them.\n"
        "/consent on agrees, /consent off takes it back at any time",
    },
    "consent-on": {
        "zh": "谢谢。从现在起，你在这里的话、她的回答和你的评价会用来训练她的新版本，"
        "记录里用代号代替你的名字。{days} 天没有说话，这个同意就失效。"
        "训练出来的版本没有办法忘掉学过的东西。/consent off 随时收回。",
        "en": "Thank you. From now on your messages here, her replies and your votes are used to train new "
        "versions of her; the records hold a code instead of your name. After {days} days without a word "
        "from you this runs out. A version that has been trained cannot un-learn. /consent off takes it back "
        "at any time.",
    },
    "consent-off": {
        "zh": "好，你在这里说的话不会用来训练，以前同意过的也不再使用。"
        "已经训练出来的版本没有办法忘掉学过的东西。",
        "en": "Done: nothing you say here is used for training, nor what you had agreed to before. "
        "A version that has been trained already cannot un-learn.",
    },
    "no-more": {
        "zh": "这句已经重说过很多次了（最多 {limit} 个回答）。",
        "en": "She has answered this often enough ({limit} answers at most).",
    },
    "exported": {
        "zh": "发给你了：{count} 轮对话、你的评价和授权，只有你看得到。",
        "en": "You have it: {count} turns, your votes and what you agreed to. Nobody else sees it.",
    },
    "not-exported": {
        "zh": "文件没能发给你。在 QQ 上请先加机器人为好友，在 Discord 上请允许它私信你，然后再试一次。",
        "en": "The file could not be given to you. On QQ, add the bot as a friend; on Discord, allow it to "
        "write to you directly; then try again.",
    },
    "voted": {"zh": "记下了，谢谢。", "en": "Noted, thank you."},
    "not-voted": {"zh": "这个评价已经记过了。", "en": "That is noted already."},
    "no-reply": {"zh": "没有找到可以评价的回答。", "en": "There is no reply of hers to rate here."},
    "nothing-again": {"zh": "还没有可以重说的回答。", "en": "There is nothing yet to say again."},
    "only-last": {"zh": "只有最后一个回答可以重说。", "en": "Only the last reply can be said again."},
    "empty": {
        "zh": "（没有看到文字，她现在只读文字。）",
        "en": "(There was no text in it; she reads only text for now.)",
    },
    "too-long": {
        "zh": "这条太长了：{length} 个字，最多 {limit} 个。请分开发，这条她没有收到。",
        "en": "That is too long: {length} characters of at most {limit}. "
        "She did not get it; please send it in pieces.",
    },
    "full": {
        "zh": "等她回答的话已经很多了，这条她没有收到，请等一会儿再发。",
        "en": "There is a lot waiting for her already. She did not get this one; please wait a moment.",
    },
    "slow": {
        "zh": "慢一点：一分钟最多 {limit} 条。这一分钟里之后的话她不会收到。",
        "en": "Slower, please: {limit} messages a minute. She gets none of the rest of this minute.",
    },
    "no-memory": {
        "zh": "记忆暂时连不上，这条没有收下，请稍后再发一次。",
        "en": "The memory cannot be reached right now; this was not taken. Please say it again in a moment.",
    },
    "waiting": {
        "zh": "（{name}现在还说不了话，你的话留着了，她一回来就回答。）",
        "en": "({name} cannot speak right now. Your message is kept; she answers as soon as she is back.)",
    },
    "given-up": {
        "zh": "（{name}一直没有回来，刚才的话没有得到回答。请过一会儿再说一次。）",
        "en": "({name} did not come back, so your message was not answered. Please say it again later.)",
    },
    "not-served": {
        "zh": "（{name}还没有准备好：模型服务器上没有她的版本。请告诉机器人的主人。）",
        "en": "({name} is not ready: the model server has no version of her. Please tell the bot's owner.)",
    },
    "rejected": {
        "zh": "（{name}没法回答这一句。请换个说法，或发 /reset 重新开始。）",
        "en": "({name} cannot answer that. Please put it another way, or start afresh with /reset.)",
    },
    "silent": {
        "zh": "（{name}没有说出话来。请再说一次。）",
        "en": "({name} found no words. Please say it again.)",
    },
}


def notice(key: str, language: Language, **values: object) -> str:
    """The text of a notice."""
    return _TEXTS[key][language].format(**values)
