"""What must hold for words that a model wrote in a character's place.

Pure functions: each says what is wrong, in a few words, or None. They are strict where a wrong row would
teach the character something (to be an assistant, to be somebody else) and silent where they cannot know.
"""

import re
from collections.abc import Iterable, Sequence

from dataset_builder.filtering.terms import Action, Matcher

TAKEN_OUT: frozenset[Action] = frozenset({"drop", "placeholder", "generalise"})
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_FEW = 8  # letters: less than that says little about a language

# What assistants say and people do not; in the language of the row or in English, which models fall back to.
_ASSISTANT = re.compile(
    r"作为(?:一个|一名|一位)?(?:AI|人工智能|(?:大型)?语言模型|虚拟助手|智能助手|助手)"
    r"|我(?:是|只是)(?:一个|一名|一款)?(?:AI|人工智能|(?:大型)?语言模型|聊天机器人|虚拟助手|智能助手)"
    r"|语言模型|有什么(?:我)?(?:可以|能)(?:帮|为)(?:助|到)?(?:您|你)(?:的|服务|做)"
    r"|(?:很|非常)?抱歉，我(?:无法|不能)(?:提供|满足|回答|协助)|希望(?:以上|这些?)?.{0,6}对[您你]有所?帮助"
    r"|AI(?:アシスタント|言語モデル|として)|人工知能(?:として|です)|言語モデル|お手伝いできること"
    r"|(?:何か)?ご質問(?:が|は)(?:ござい|あり)|お役に立て(?:れば|て)(?:幸い|嬉し|うれし)"
    r"|申し訳(?:あり|ござい)ませんが、?.{0,16}(?:お答え|お手伝い|提供)"
    r"|\bas an ai\b|\blanguage model\b|\bai (?:model|assistant)\b|\bi(?:'|’)?m here to (?:help|assist)\b"
    r"|\bhow (?:can|may) i (?:help|assist) you\b|\bi can(?:'|’)?t (?:assist|help) with (?:that|this)\b"
    r"|\bis there anything else\b.{0,24}\b(?:help|assist)\b|\bhope (?:this|that) helps\b"
    r"|\bchatgpt\b|\bopenai\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"\*\*|```|^#{1,6} |^\s{0,8}[-*•] |\]\(http", re.MULTILINE)
_DIRECTION = re.compile(r"\*[^*\n]{1,80}\*|（[^（）\n]{1,80}）|\([^()\n]{1,80}\)|【[^【】\n]{1,80}】")

_FIRST_PERSON = re.compile(r"私|わたし|わたくし|あたし|アタシ|僕|ボク|俺|オレ|儂|拙者|吾輩|妾")
_SAME_PERSON = {"わたし": "私", "アタシ": "あたし", "ボク": "僕", "オレ": "俺"}
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f'’]+|[\u3041-\u30fe\u3400-\u9fff\uac00-\ud7af]+")
_KEPT = 0.2  # the share of her words that were hers before, at least
_FEW_WORDS = 6


def wrong_language(text: str, language: str) -> str | None:
    """Whether the letters are not those of `language`; nothing is said of languages that we do not know."""
    kana, han, hangul, latin = (len(kind.findall(text)) for kind in (_KANA, _HAN, _HANGUL, _LATIN))
    letters = kana + han + hangul + latin
    if letters < _FEW:
        return None
    match language.partition("-")[0]:
        case "zh":
            right = han * 2 >= letters and kana * 8 <= han  # a Chinese text may keep a の
        case "ja":
            right = (kana + han) * 2 >= letters and kana * 10 >= kana + han
        case "ko":
            right = hangul * 2 >= letters
        case "en":
            right = latin * 10 >= letters * 9
        case _:
            return None
    return None if right else f"not in {language}: {_short(text)}"


def wrong_length(text: str, original: str) -> str | None:
    """Whether an answer is empty, or much shorter or longer than what it was made from."""
    length, before = len(text.strip()), len(original.strip())
    if not length:
        return "empty"
    if length > 2.5 * before + 40:
        return f"{length} letters of {before}"
    if length < before / 4 - 4:
        return f"only {length} letters of {before}"
    return None


def assistant_phrase(text: str, original: str) -> str | None:
    """A phrase of an assistant's, or its way to lay out a text, that the original does not have."""
    for pattern in (_ASSISTANT, _MARKUP):
        match = pattern.search(text)
        if match and match[0].casefold() not in original.casefold():
            return match[0].strip() or "a list"
    return None


def stage_direction(text: str, original: str) -> str | None:
    """Something in brackets or asterisks that is no speech and that the original does not have."""
    return next((match[0] for match in _DIRECTION.finditer(text) if match[0] not in original), None)


def leaked_term(texts: Iterable[str], terms: Matcher) -> str | None:
    """The first term in a text that is to be taken out; not one that is kept or not decided on."""
    found = (term for text in texts for _, _, term in terms.find(text))
    return next((term.text for term in found if term.action in TAKEN_OUT), None)


def another_speaker(answers: Sequence[str], originals: Sequence[str], others: Iterable[str]) -> str | None:
    """Whether somebody else speaks: a name in front, another `I`, hardly a word that was hers.

    `others` are the names of everybody who speaks with her, her own among them.
    """
    new, old = "\n".join(answers), "\n".join(originals)
    if names := "|".join(re.escape(name) for name in sorted(set(others), key=len, reverse=True) if name):
        if match := re.search(rf"^\s*[【\[]?(?:{names})[】\]]?\s*[:：「『“\"]", new, re.MULTILINE):
            return f"a name in front: {match[0].strip()}"
        claim = rf"(?:我是|我叫|(?:私|僕|俺|わたし|あたし)は|\bI(?:'|’)?m |\bmy name is ){_claimed(names)}"
        if (match := re.search(claim, new, re.IGNORECASE)) and match[0] not in old:
            return f"says to be somebody: {match[0]}"
    before = {_SAME_PERSON.get(word, word) for word in _FIRST_PERSON.findall(old)}
    now = {_SAME_PERSON.get(word, word) for word in _FIRST_PERSON.findall(new)}
    if before and _KANA.search(old) and now - before:
        return f"says {min(now - before)} instead of {min(before)}"
    said, hers = set(words(new)), set(words(old))
    if len(said) >= _FEW_WORDS and len(said & hers) < _KEPT * len(said):
        return f"{len(said & hers)} of {len(said)} words are hers"
    return None


def words(text: str) -> list[str]:
    """The words of a text in small letters; of writing without blanks, each two letters side by side."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if word[0] < "\u3000":
            found.append(word.casefold())
        else:
            found.extend(word[at : at + 2] for at in range(max(1, len(word) - 1)))
    return found


def _claimed(names: str) -> str:
    return rf"(?:{names})(?![A-Za-z])"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
