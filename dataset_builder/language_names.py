"""Which language the name of a folder or of a column means: `jp`, `json_cn`, `English`, `简体中文`."""

from collections.abc import Sequence

from dataset_builder.work import ScriptFile

# BCP 47 tag -> what people and tools write. `gt_input` and `gt_output` are GalTransl's folders, which by
# default lead from Japanese into Chinese.
_NAMES = {
    "ja": ("ja", "jp", "jpn", "jap", "japanese", "日文", "日语", "日語", "日本語", "gt_input"),
    "zh": (
        "zh", "cn", "chs", "sc", "chn", "chinese", "schinese", "zh_cn", "zh_hans", "中文", "汉语", "简中",
        "简体", "简体中文", "gt_output",
    ),
    "zh-Hant": ("tc", "cht", "tchinese", "zh_tw", "zh_hk", "zh_hant", "繁中", "繁体", "繁體", "繁體中文"),
    "en": ("en", "eng", "english", "en_us", "英文", "英语", "英語"),
    "ko": ("ko", "kr", "kor", "korean", "韩文", "한국어"),
}  # fmt: skip
LANGUAGES = {name: language for language, names in _NAMES.items() for name in names}


def named_language(name: str) -> str:
    """The language that a name means, "" if none. The end of several words decides: `json_jp` is Japanese."""
    name = name.strip().lower().replace("-", "_").replace(" ", "_")[-40:]
    while name and name not in LANGUAGES:
        name = name.partition("_")[2]
    return LANGUAGES.get(name, "")


def by_language(files: Sequence[ScriptFile]) -> list[dict[str, ScriptFile]]:
    """The files, those together that differ only by a folder of languages: `jp/01.json` and `cn/01.json`.

    Each group is language -> file. A folder counts when a sibling of its has another language's name; a file
    outside of such folders, and a second one of the same language, is a group of its own, under "".
    """
    parts = [file.name.split("/") for file in files]
    found: dict[str, set[str]] = {}  # folder -> languages of the folders in it
    for path in parts:
        for depth, folder in enumerate(path[:-1]):
            if language := named_language(folder):
                found.setdefault("/".join(path[:depth]), set()).add(language)
    groups: dict[tuple[str, ...], dict[str, ScriptFile]] = {}
    for file, path in zip(files, parts, strict=True):
        for depth, folder in enumerate(path[:-1]):
            if not (language := named_language(folder)):
                continue
            above = "/".join(path[:depth])
            if len(found[above]) > 1:
                group = groups.setdefault((above, *path[depth + 1 :]), {})
                if language not in group:
                    group[language] = file
                    break
        else:
            groups[(file.name,)] = {"": file}
    return list(groups.values())
