"""What a version's report says, in English and in Chinese."""

from typing import Literal

Language = Literal["en", "zh"]

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("A version and what people think of it", "一个版本，以及人们对它的看法"),
    "about": ("{name} on the base model {base}", "基础模型 {base} 上的{name}"),
    "state": ("now", "现状"),
    "liked": ("liked", "喜欢"),
    "of_votes": ("of {votes} votes", "共 {votes} 票"),
    "goals": ("goals met", "达到的目标"),
    "goals_of": ("of {count}", "共 {count} 项"),
    "right": ("reward model right", "奖励模型判断正确"),
    "pairs": ("of {count} pairs", "共 {count} 对"),
    "none": ("none", "无"),
    "trial": ("The trial", "试用"),
    "trial_about": (
        "Since {since}, {canary} answers {share} of the conversations and {stable} the others.",
        "自 {since} 起，{canary} 回答 {share} 的会话，其余由 {stable} 回答。",
    ),
    "decides": ("The votes decide by themselves.", "由投票自动决定。"),
    "by_hand": ("The owner decides.", "由主人决定。"),
    "votes": ("Votes over time", "投票走势"),
    "votes_about": (
        "The share of likes with its 95 % interval; larger dots are more votes.",
        "点赞比例及其 95 % 区间；点越大票越多。",
    ),
    "no_votes": ("Nobody has voted yet.", "还没有人投票。"),
    "version": ("version", "版本"),
    "up": ("up", "赞"),
    "down": ("down", "踩"),
    "shown": ("shown", "展示"),
    "share": ("liked, with 95 % interval", "喜欢比例及 95 % 区间"),
    "evaluation": ("Evaluation", "评测"),
    "evaluation_about": (
        "The version beside {other}, on the same questions. Small: the 95 % interval.",
        "本版本与 {other} 回答同样的问题。小字是 95 % 区间。",
    ),
    "evaluation_alone": ("The version on its own questions.", "本版本的评测结果。"),
    "no_evaluation": ("It was not evaluated.", "还没有评测。"),
    "base": ("base model", "基础模型"),
    "card": ("base model with the card", "基础模型（有卡）"),
    "better": ("better", "更好"),
    "worse": ("worse", "更差"),
    "more_is_better": ("more is better", "越高越好"),
    "less_is_better": ("less is better", "越低越好"),
    "wanted": ("goal {goal}", "目标 {goal}"),
    "reward": ("The reward model behind it", "背后的奖励模型"),
    "reward_about": (
        "{name} chose the better of two replies right so often, on pairs that taught it nothing.",
        "{name} 在未参与训练的成对回复中选对的比例。",
    ),
    "reward_newest": (
        "The run named none and took the newest of its time; this is the newest of now.",
        "训练时没有指定，用的是当时最新的；这里是现在最新的。",
    ),
    "overall": ("all", "全部"),
    "kind": ("kind of pair", "成对的种类"),
    "calibration": ("How often it is right where it is so sure", "在某种把握下判断正确的比例"),
    "calibration_about": (
        "Expected calibration error {after}, and {before} without its temperature.",
        "校准误差 {after}；不用温度时为 {before}。",
    ),
    "from": ("Where it comes from", "来历"),
    "data": ("learned from", "学习的数据"),
    "rows": ("rows", "行数"),
    "settings": ("settings", "设置"),
    "history": ("Releases", "发布记录"),
    "no_release": (
        "Nothing was released yet: the newest version answers.",
        "还没有发布过：由最新的版本回答。",
    ),
    "time": ("time, UTC", "时间（UTC）"),
    "what": ("what", "操作"),
    "why": ("why", "原因"),
    "by": ("by", "操作者"),
    "publish": ("published", "发布"),
    "canary": ("tried", "试用"),
    "promote": ("promoted", "转正"),
    "rollback": ("taken back", "撤回"),
    "the trial": ("the trial", "试用自动"),
    "is-stable": ("answers", "正在回答"),
    "is-canary": ("on trial", "试用中"),
    "is-previous": ("answered before", "上一个"),
    "is-published": ("published", "已发布"),
    "is-retired": ("answered once", "曾经回答"),
    "is-rolled-back": ("taken back", "已撤回"),
    "is-unpublished": ("not published", "未发布"),
    "style": ("Style", "风格"),
    "speaker": ("Who said it", "像不像她说的"),
    "persona": ("Questions about her", "关于她的问题"),
    "ability": ("General ability", "通用能力"),
    "safety": ("Safety", "安全"),
    "manner": ("Manner", "表达"),
    "judge": ("A judge's word", "裁判的评价"),
}

# Labels of metrics and goals are English in the file.
_METRICS_ZH = {
    "heldout_perplexity": "她的保留台词的困惑度",
    "rouge1": "与她自己台词的 ROUGE-1",
    "rouge2": "与她自己台词的 ROUGE-2",
    "rougel": "与她自己台词的 ROUGE-L",
    "bleu4": "与她自己台词的 BLEU-4",
    "chrf": "与她自己台词的 chrF",
    "who_said_it": "被认作她说的回复",
    "persona_right": "关于她的问题答对",
    "persona_wrong": "关于她的问题答错",
    "persona_refused": "关于她的问题没有回答",
    "persona_consistent": "每种问法都答对的事实",
    "persona_after_smalltalk": "闲聊之后答对",
    "ability": "通用能力题，不给人设卡",
    "ability_zh": "通用能力题，中文",
    "ability_en": "通用能力题，英文",
    "ability_ja": "通用能力题，日文",
    "text_perplexity": "一般文本的困惑度",
    "text_perplexity_zh": "一般文本的困惑度，中文",
    "text_perplexity_en": "一般文本的困惑度，英文",
    "text_perplexity_ja": "一般文本的困惑度，日文",
    "safety": "对危险问题的安全回复",
    "identity": "被问是谁时守住角色并且诚实",
    "repetition": "说过的四字组再次出现",
    "length": "长度与她平时相近的回复",
    "language": "她的语言的文字",
    "assistant_phrases": "带有助手腔的回复",
    "copied": "照背学过的台词",
    "catch_phrases": "口头禅，为她平时的几倍",
}
_GOALS_ZH = (
    ("ROUGE-1", "与她台词的 ROUGE-1 比有卡的基础模型高出的百分比（或下一项）"),
    ("Perplexity", "她的保留台词的困惑度比有卡的基础模型低的百分比"),
    ("General ability", "通用能力比基础模型损失的百分比"),
    ("Replies taken", "被认作她说的回复的百分比"),
    ("Questions about her", "关于她的问题答对的百分比"),
)


class Words:
    """Those of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """A key that is not known is a word of the file's own."""
        en, zh = _WORDS.get(key, (key, key))
        return (zh if self.language == "zh" else en).format(**values)

    def metric(self, name: str, label: str) -> str:
        return _METRICS_ZH.get(name, label) if self.language == "zh" else label or name

    def goal(self, text: str) -> str:
        if self.language == "zh":
            return next((zh for start, zh in _GOALS_ZH if text.startswith(start)), text)
        return text
