"""Which column of a table is what, told by its header.

Known are the headers of VNTextPatch (original character, original line, translated character, translated
line, checked line, edited line), of SExtractor (`Name, Text, Trans Name, Trans Text` and `Key, Value`), what
people write in English, Chinese and Japanese, and languages: `ja`, `English`, `text_cn`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.language_names import named_language

# Headers without case, blanks and punctuation. Of several in one table the first here counts.
_NAMES = (
    "name", "speaker", "character", "originalcharacter", "originalname", "charactername", "speakername",
    "chara", "who", "actor", "角色", "角色名", "人物", "名字", "姓名", "说话人", "說話人", "话者",
    "話者", "名前", "人名", "キャラ", "キャラクター", "role",
)  # fmt: skip
_TEXTS = (
    "text", "message", "dialogue", "dialog", "originalline", "originaltext", "original", "orig", "line",
    "sentence", "utterance", "content", "台词", "台詞", "臺詞", "セリフ", "原文", "本文", "正文",
    "对白", "對白", "对话", "對話", "文本", "内容", "テキスト", "メッセージ", "source", "src", "key",
)  # fmt: skip
_TRANSLATIONS = (
    "editedline", "edited", "checkedline", "checked", "translatedline", "translatedtext", "transtext",
    "translation", "translated", "trans", "译文", "譯文", "翻译", "翻譯", "訳文", "翻訳", "訳",
    "target", "dst", "value",
)  # fmt: skip
_VOICES = ("voice", "voiceid", "voicefile", "音声", "语音", "語音", "ボイス")
_PUNCTUATION = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Columns:
    """Indexes of a row's cells."""

    text: int
    name: int | None
    voice: int | None
    language: str  # of the text, "" if the header does not tell
    translations: dict[str, list[int]]  # language ("": not told) -> its columns, the best state first


def find_columns(header: Sequence[str]) -> Columns | None:
    """None if no column has texts."""
    languages: dict[str, int] = {}
    first: dict[str, int] = {}
    for at, each in enumerate(header):
        first.setdefault(_PUNCTUATION.sub("", unicodedata.normalize("NFKC", each).lower()), at)
        if language := _text_language(each):
            languages.setdefault(language, at)

    def known(names: Sequence[str]) -> list[int]:
        return [first[name] for name in names if name in first]

    language = ""
    texts = known(_TEXTS)
    if not texts and languages:
        language = "ja" if "ja" in languages else next(iter(languages))
        texts = [languages[language]]
    if not texts:
        return None
    name, voice = known(_NAMES), known(_VOICES)
    translations = {other: [at] for other, at in languages.items() if at != texts[0]}
    if states := [at for at in known(_TRANSLATIONS) if at != texts[0]]:
        translations[""] = states
    return Columns(
        text=texts[0],
        name=name[0] if name else None,
        voice=voice[0] if voice else None,
        language=language,
        translations=translations,
    )


def _text_language(header: str) -> str:
    """The language of a column's texts: `ja`, `English`, `text_cn`; "" for `name_en` and for no language."""
    words = _PUNCTUATION.sub(" ", header.lower()).split()
    told = len(words) < 2 or words[-2] in ("zh", "en", *_TEXTS, *_TRANSLATIONS)  # `zh-tw`, `text_cn`
    return named_language(header) if told else ""
