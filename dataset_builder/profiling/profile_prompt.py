"""The words in which a model is asked about a character, in the language of her lines."""

from collections.abc import Sequence

from dataset_builder.profiling.evidence import Record
from dataset_builder.profiling.topics import base_language
from inference.prompt import clean

PROMPT = "profile-1"  # changes with every word below: answers to another version are not used
_SHAPE = '{"known": true, "answer": "…", "lines": [1, 3], "contradictions": [{"lines": [2, 5], "what": "…"}]}'

_SYSTEM = {
    "zh": (
        "下面是视觉小说里编了号的台词。只根据这些台词回答关于{name}的问题，不猜测，不用自己的知识。\n"
        "- known：台词里说到了就是 true，没说到就是 false，并且 answer 为空、lines 为空。\n"
        "- answer：用{language}写一两句话，用第三人称，尽量用台词里的词。\n"
        "- lines：能证明答案的台词编号，至少一个。\n"
        "- contradictions：互相矛盾的台词编号，以及矛盾在哪里；没有就是空的。\n"
        "只回答 JSON：{shape}"
    ),
    "ja": (
        "次は番号を付けたビジュアルノベルの台詞です。{name}についての質問に、この台詞だけから答えてください。"
        "推測せず、自分の知識を使わないでください。\n"
        "- known：台詞から分かれば true、分からなければ false にし、answer と lines は空にする。\n"
        "- answer：{language}で一、二文。三人称で、できるだけ台詞の言葉を使う。\n"
        "- lines：答えの根拠になる台詞の番号。一つ以上。\n"
        "- contradictions：互いに矛盾する台詞の番号と、何が矛盾しているか。なければ空。\n"
        "JSON だけを答えてください：{shape}"
    ),
    "en": (
        "These are numbered lines of a visual novel. Answer the question about {name} from these lines "
        "alone. Do not guess, and use no knowledge of your own.\n"
        "- known: true if the lines tell, false if they do not; then answer and lines are empty.\n"
        "- answer: one or two sentences in {language}, in the third person, in the words of the lines where "
        "you can.\n"
        "- lines: the numbers of the lines that prove the answer, one at least.\n"
        "- contradictions: numbers of lines that contradict one another, and in what; empty if there are "
        "none.\n"
        "Answer with JSON alone: {shape}"
    ),
}
_LANGUAGES = {
    "zh": "中文",
    "zh-Hant": "繁体中文",
    "ja": "日本語",
    "en": "English",
    "ko": "Korean",
    "": "the language of the lines",
}
_COLON = {"zh": "：", "ja": "：", "en": ": "}


def system_text(name: str, language: str) -> str:
    """What is to be done."""
    text = _SYSTEM[base_language(language)].replace("{name}", clean(name)).replace("{shape}", _SHAPE)
    return text.replace("{language}", _LANGUAGES.get(language, language))


def lines_text(question: str, shown: Sequence[Record], language: str) -> str:
    """The lines, numbered from 1, and the question behind them."""
    colon = _COLON[base_language(language)]
    lines = []
    for number, record in enumerate(shown, 1):
        text = " ".join(clean(record.text).split())
        who = f"{clean(record.speaker)}{colon}" if record.speaker else ""
        lines.append(f"[{number}] {who}{text}")
    return "\n".join((*lines, "", clean(question)))
