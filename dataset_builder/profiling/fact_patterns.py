"""How people say in Chinese, Japanese and English who they are: the sentences that facts are read from.

Marks stand for what comes up again: `<I>` for the speaker, `<HER>` for the character's names, `<WHO>` for
those of others, and what `_MARKS` lists. The group `v` is the fact, `role` what somebody is to her. A pattern
for "self" is looked for in what she says, one for "others" in all other lines. Every repetition has a limit,
so that no line can keep them busy.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way to say something. `sure` is how often it means what it seems to, from 0 to 1."""

    topic: str
    by: Literal["self", "others"]
    sure: float
    text: str


_MARKS = {
    "ja": {
        "<MINE>": "(?:<I>の|(?<![のおご]))",
        "<DATE>": "(?P<v>(?:<N>)月(?:<N>)日)",
        "<YEARS>": "(?P<v><N>)[歳才](?!の?(?:時|頃|ころ|とき|まで|以上|以下|未満|児|差|下|上|前|誕生日"
        "|くらい|ぐらい)|になったら)",
        "<KIN>": "(?:お?(?:父|母|兄|姉|祖父|祖母|爺|婆)(?:さん|ちゃん|様|上|貴)?|弟|妹|双子の[兄姉弟妹]"
        "|幼[なに]じみ|幼馴染み?|親友|婚約者|許嫁|師匠|恋人|彼氏|従[兄姉弟妹]|いとこ|同級生|後輩|先輩|担任)",
        "<WORK>": "(?:[一二三123１２３]年生?|部員|部長|マネージャー|会長|書記|委員長?|学生|生徒|高校生"
        "|中学生|教師|医者|看護師|巫女|メイド|店長|看板娘|作家|画家|歌手|騎士|魔法使い|魔女|王女|探偵|社長"
        "|隊長)",
        "<VERY>": "(?:一番|いちばん|とっても|とても|すごく|本当に|ほんとに|結構|けっこう|割と)?",
        "<LIKE>": "(?:大好き|だいすき|好き)<SURELY>",
        "<DISLIKE>": "(?:大嫌い|嫌い|苦手)<SURELY>",
        "<SURELY>": "(?!じゃ|では|な人|だった|そう|なら|な[のん]?[?？])",
        "<THING>": r"(?P<v>[^。、！？…「」\s]{1,16}?)",
        "<HON>": "(?:さん|ちゃん|くん|君|様|さま|先輩|先生)?",
        "<I>": "(?:私|わたし|わたくし|あたし|アタシ|僕|ぼく|ボク|俺|おれ|オレ|うち|ウチ|自分)",
        "<N>": "[0-9０-９]{1,3}|[〇一二三四五六七八九十百]{1,5}",
    },
    "zh": {
        "<MINE>": "(?:<I>的|(?<![的你他她它们]))",
        "<DATE>": "(?P<v>(?:<N>)月(?:<N>)[日号號])",
        "<YEARS>": "(?P<v><N>)岁(?!的?(?:时候|那年|以前|之前|以下|以上|左右|生日)|开始|起|前|那|多|半)",
        "<KIN>": "(?:爸爸|妈妈|父亲|母亲|(?:双胞胎)?(?:哥哥|姐姐|弟弟|妹妹)|爷爷|奶奶|外公|外婆|姥姥|叔叔"
        "|阿姨|舅舅|姑姑|[表堂][哥姐弟妹]|青梅竹马|发小|好朋友|师父|师傅|未婚[夫妻]|男朋友|女朋友|恋人|同桌"
        "|室友|班主任|同班同学|学弟|学妹|前辈|后辈|搭档|朋友)",
        "<WORK>": "(?:年级|学生|高中生|初中生|部长|会长|委员|老师|医生|护士|店长|老板娘?|作家|画家|歌手|骑士"
        "|魔女|公主|侦探|社长|队长|部员|成员|记者|司机|厨师|经理)",
        "<VERY>": "(?:也|还是|还|就|可|真的|一直|从小就?|最|很|超|特别|非常|挺|蛮|比较|都){0,3}",
        "<LIKE>": "(?:喜欢|喜歡|最爱|热爱|爱(?=[吃喝看听玩画唱]))(?:的(?:东西|食物)?就?是)?",
        "<DISLIKE>": "(?:讨厌|討厭|不喜欢|不喜歡|害怕|怕|受不了|不擅长)(?:的(?:东西|食物)?就?是)?",
        "<THING>": "(?P<v>[^。，、！？…～~]{1,16})",
        "<HON>": "(?:同学|学长|学姐|前辈|酱|君|哥|姐)?",
        "<I>": "(?:我|人家|本小姐|本姑娘|俺|咱)",
        "<N>": "[0-9０-９]{1,3}|[〇零一二两三四五六七八九十百]{1,5}",
    },
    "en": {
        "<DATE>": r"(?P<v><MONTH> \d{1,2}(?:st|nd|rd|th)?\b|\d{1,2}(?:st|nd|rd|th)? (?:of )?<MONTH>\b)",
        "<MONTH>": "(?:January|February|March|April|May|June|July|August|September|October|November"
        "|December)",
        "<KIN>": "(?:(?:older|younger|little|big|twin|best|oldest|dear) ){0,2}(?:father|mother|dad|mum|mom"
        "|brother|sister|twin|grandfather|grandmother|grandpa|grandma|uncle|aunt|cousin|wife|husband"
        "|fianc[ée]e?|boyfriend|girlfriend|friend|boss|teacher|daughter|son|partner|roommate|neighbou?r)",
        "<WORK>": "(?:student|teacher|doctor|nurse|writer|author|artist|painter|singer|musician|engineer"
        "|programmer|detective|witch|knight|princess|captain|cook|chef|baker|waitress|waiter|lawyer"
        "|journalist|soldier|sailor|keeper|designer|developer|librarian|gardener)",
        "<VERY>": "(?:really |just |also |still |do |absolutely |always ){0,2}",
        "<DISLIKE>": "(?:hate|dislike|despise|loathe|can(?:['’]t|not) stand|don['’]t (?:really )?like|am "
        "(?:scared|afraid) of)",
        "<THING>": r"(?!(?:you|it|that|this|him|her|them|me|how|when|what|to think|to believe)\b)"
        r"(?P<v>[^.,!?;:…—]{2,40})",
        "<HOBBY>": "(?:favou?rite )?(?:hobby|hobbies|pastime)",
        "<IS>": "(?: is|['’]s)(?: (?:only|already|just|now))?",
        "<AM>": r"\bI(?: am|['’]m)(?: (?:only|already|just|now))?",
        "<N>": r"\d{1,3}|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-(?:one|two|three|four"
        r"|five|six|seven|eight|nine))?|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
        r"|eighteen|nineteen",
    },
}  # fmt: skip

PATTERNS = {
    "ja": (
        Pattern("name", "self", 0.9, r"(?:<I>(?:の名前)?は|名前は|^)(?P<v>[^\s。、！？「」は]{0,8}(?:"
                r"<HER>))(?:です|だよ|なの|と申します|っ?て?と?[言い]います|って[言い]うの)"),
        Pattern("age", "self", 0.9, "<I>(?:は|も|って|、)[^。、]{0,6}?<YEARS>"),
        Pattern("age", "self", 0.7, "^(?:今年で|もう|まだ|今は)?<YEARS>(?:です|だよ|だから|なの|になった)"),
        Pattern("age", "others", 0.8, "(?:<HER>)<HON>(?:は|って|も|、)[^。、]{0,6}?<YEARS>"),
        Pattern("birthday", "self", 0.9, "<MINE>誕生日(?:は|って|、|が)[^。]{0,6}?<DATE>"),
        Pattern("birthday", "others", 0.9, "(?:<HER>)<HON>の誕生日(?:は|って|、|が)[^。]{0,6}?<DATE>"),
        Pattern("hobby", "self", 0.9, "<MINE>趣味(?:は|って|といえば|と言えば)(?!何|なに|なん|ない|悪|いい"
                "|、)(?P<v>[^。、！？?!…]{1,20}?)(?:です|だ|なの|かな|よ|[。、！!…]|$)"),
        Pattern("hobby", "self", 0.8, r"(?P<v>[^。、！？…\s「」]{1,16})[がは](?:<I>の)?趣味(?:です|なの|だ"
                r"|なん|で)"),
        Pattern("hobby", "others", 0.8, "(?:<HER>)<HON>の趣味は(?P<v>[^。、！？?!…]{1,20}?)(?:です|だ|なの"
                "|よ|[。！]|$)"),
        Pattern("likes", "self", 0.7, "(?:<I>(?:は|も|って)、?)?<THING>[がも]<VERY><LIKE>"),
        Pattern("likes", "others", 0.6, "(?:<HER>)<HON>は<THING>が<VERY><LIKE>"),
        Pattern("dislikes", "self", 0.7, "(?:<I>(?:は|も|って)、?)?<THING>[がは]<VERY><DISLIKE>"),
        Pattern("relations", "self", 0.85, "<I>の(?P<role><KIN>)の(?P<v><WHO>)"),
        Pattern("relations", "self", 0.85, "(?P<v><WHO>)<HON>は<I>の(?P<role><KIN>)"),
        Pattern("relations", "self", 0.5, "<I>の(?P<role><KIN>)(?!の?<WHO>)"),
        Pattern("relations", "others", 0.85, "(?:<HER>)<HON>(?:は|って)<I>の(?P<role><KIN>)"),
        Pattern("occupation", "self", 0.7, "<I>(?:は|、)(?P<v>[^。、！？]{0,12}?<WORK>)(?:です|だよ|だから"
                "|なの|だ|よ)"),
    ),
    "zh": (
        Pattern("name", "self", 0.9, r"(?:<I>(?:的名字)?(?:叫做?|是|名叫)|名字[是叫]|叫<I>)"
                r"(?:[^，。！？\s]{0,6}的)?(?P<v>[^，。！？\s的]{0,3}(?:<HER>))"),
        Pattern("age", "self", 0.9, "<I>(?:今年|现在|已经|都|才|刚|也|明明|就){0,4}(?:是|满)?<YEARS>"),
        Pattern("age", "self", 0.7, "^(?:今年|现在|已经)<YEARS>"),
        Pattern("age", "others", 0.8, "(?:<HER>)<HON>(?:今年|现在|已经|才|都|也){0,3}是?<YEARS>"),
        Pattern("birthday", "self", 0.9, "<MINE>生日(?:就?是|就?在|，)?[^。！？]{0,4}?<DATE>"),
        Pattern("birthday", "others", 0.9, "(?:<HER>)<HON>的生日(?:就?是|就?在|，)?[^。！？]{0,4}?<DATE>"),
        Pattern("hobby", "self", 0.9, "<MINE>(?:爱好|兴趣)(?:就?是|嘛，)(?!什么|啥)"
                "(?P<v>[^。，！？…～~]{1,20})"),
        Pattern("hobby", "self", 0.8, "(?P<v>[^。，！？…]{1,16}?)(?:就|可|也)?是<I>的(?:爱好|兴趣)"),
        Pattern("hobby", "others", 0.8, "(?:<HER>)<HON>的(?:爱好|兴趣)就?是(?P<v>[^。，！？…～~]{1,20})"),
        Pattern("likes", "self", 0.7, "<I><VERY><LIKE><THING>"),
        Pattern("likes", "others", 0.6, "(?:<HER>)<HON><VERY><LIKE><THING>"),
        Pattern("dislikes", "self", 0.7, "<I><VERY><DISLIKE><THING>"),
        Pattern("relations", "self", 0.85, "(?P<v><WHO>)[他她]?(?:就|可|也)?是<I>的?(?P<role><KIN>)"),
        Pattern("relations", "self", 0.85, "<I>的?(?P<role><KIN>)(?P<v><WHO>)"),
        Pattern("relations", "self", 0.5, "<I>的?(?P<role><KIN>)(?!<WHO>)"),
        Pattern("relations", "others", 0.85, "(?:<HER>)[他她]?(?:就|可|也)?是<I>的?(?P<role><KIN>)"),
        Pattern("occupation", "self", 0.7, "<I>(?:现在|可|只)?[是在](?P<v>[^。，！？]{0,12}?<WORK>)"
                "(?:[。，！啊哦呢啦]|$)"),
    ),
    "en": (
        Pattern("name", "self", 0.9, r"(?i:\bmy name is|\bmy name['’]s|\bcall me|\bI['’]m|\bI am) (?P<v>(?:"
                r"<HER>)(?: [A-Z]\w+)?)\b"),
        Pattern("age", "self", 0.95, "<AM> (?P<v><N>) years (?:old|of age)"),
        Pattern("age", "self", 0.8, r"<AM> (?P<v><N>)(?=[.,!;]|$| now\b| and\b)"),
        Pattern("age", "others", 0.8, r"\b(?:<HER>)<IS> (?P<v><N>)(?: years old|(?=[.,!;]|$))"),
        Pattern("birthday", "self", 0.9, r"(?i:\bmy birthday)(?: is|['’]s|,)(?: on)?(?: the)? <DATE>"),
        Pattern("birthday", "others", 0.9, r"\b(?:<HER>)['’]s? birthday is(?: on)?(?: the)? <DATE>"),
        Pattern("hobby", "self", 0.9, r"(?i:\bmy <HOBBY>) (?:is|are) (?P<v>[^.,!?;:…—]{2,40})"),
        Pattern("hobby", "self", 0.8, r"(?P<v>\b[^.,!?;:…—]{2,40}?) (?:is|are) my <HOBBY>\b"),
        Pattern("likes", "self", 0.7, r"\bI <VERY>(?:love|like|adore|enjoy) <THING>"),
        Pattern("likes", "self", 0.8, r"(?i:\bmy favou?rite) (?!<HOBBY>)\w{1,16} (?:is|are) <THING>"),
        Pattern("likes", "others", 0.6, r"\b(?:<HER>) <VERY>(?:loves|likes|adores|enjoys) <THING>"),
        Pattern("dislikes", "self", 0.7, r"\bI <VERY><DISLIKE> <THING>"),
        Pattern("relations", "self", 0.85, r"(?i:\bmy) (?P<role><KIN>),? (?P<v><WHO>)\b"),
        Pattern("relations", "self", 0.85, r"\b(?P<v><WHO>)(?: is|['’]s) my (?P<role><KIN>)\b"),
        Pattern("relations", "self", 0.5, r"(?i:\bmy) (?P<role><KIN>)\b(?!,? <WHO>)(?!['’]s \w)"),
        Pattern("relations", "others", 0.85, r"\b(?:<HER>)(?: is|['’]s) my (?P<role><KIN>)\b"),
        Pattern("occupation", "self", 0.7, r"<AM> (?:an?|the) (?P<v>(?:[a-z-]{1,16} ){0,3}<WORK>)\b"),
        Pattern("occupation", "self", 0.7, r"\bI work (?P<v>(?:as|at|in|for) [^.,!?;:…—]{2,40})"),
    ),
}  # fmt: skip
_MOST_NAMES = 200  # of others: the rest speaks a line or two


def compiled(
    language: str, called: Iterable[str], others: Iterable[str]
) -> list[tuple[Pattern, re.Pattern[str]]]:
    """The patterns of a language for one character; none for a language that has none."""
    base = language.partition("-")[0]
    who = [name for name in others if len(name) > 1][:_MOST_NAMES]
    marks = _MARKS.get(base, {}) | {"<HER>": _any_of(called), "<WHO>": f"(?:{_any_of(who)})"}
    made = []
    for pattern in PATTERNS.get(base, ()):
        text = pattern.text
        for mark, meaning in marks.items():  # in their order: what stands in another comes after it
            text = text.replace(mark, meaning)
        made.append((pattern, re.compile(text)))
    return made


def _any_of(names: Iterable[str]) -> str:
    """A pattern for any of the names, the longest first; for nothing where there are none."""
    return "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name))) or r"(?!)"
