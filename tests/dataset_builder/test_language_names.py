"""Names of languages, and files that differ only by them."""

import pytest

from dataset_builder.language_names import by_language, named_language
from dataset_builder.work import memory_file


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("JP", "ja"), ("japanese", "ja"), ("json_jp", "ja"), ("日本語", "ja"), ("cn", "zh"), ("SC", "zh"),
        ("zh-Hans", "zh"), ("text_zh-CN", "zh"), ("tc", "zh-Hant"), ("zh_TW", "zh-Hant"), ("English", "en"),
        ("scenario en", "en"), ("kr", "ko"), ("gt_output", "zh"), ("script", ""), ("", ""),
        ("route-scene", ""), ("jpg", ""), ("_" * 100_000, ""),
    ],
)  # fmt: skip
def test_names(name: str, language: str) -> None:
    assert named_language(name) == language


def groups(*names: str) -> list[dict[str, str]]:
    found = by_language([memory_file(name, b"") for name in names])
    return [{language: file.name for language, file in group.items()} for group in found]


def test_siblings_are_one_group() -> None:
    assert groups("cn/a/1.json", "cn/2.json", "jp/a/1.json", "jp/2.json") == [
        {"zh": "cn/a/1.json", "ja": "jp/a/1.json"},
        {"zh": "cn/2.json", "ja": "jp/2.json"},
    ]
    assert groups("w/en/1", "w/ja/1", "v/en/1") == [{"en": "w/en/1", "ja": "w/ja/1"}, {"": "v/en/1"}]


def test_what_has_no_sibling_stands_alone() -> None:
    assert groups("sc/1.json", "1.json", "cn.json") == [{"": "sc/1.json"}, {"": "1.json"}, {"": "cn.json"}]
    assert groups("jp/1.json", "1.json", "cn/2.json") == [
        {"ja": "jp/1.json"},
        {"": "1.json"},
        {"zh": "cn/2.json"},
    ]


def test_a_second_folder_of_the_same_language_stands_alone() -> None:
    assert groups("cn/1", "jp/1", "sc/1") == [{"zh": "cn/1", "ja": "jp/1"}, {"": "sc/1"}]
