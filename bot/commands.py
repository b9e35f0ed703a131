"""What people can tell the bot instead of the character, parsed once for all platforms."""

from dataclasses import dataclass
from typing import Literal

Name = Literal["help", "character", "reset", "regenerate", "good", "bad", "forget", "consent", "export"]

_NAMES: dict[str, Name] = {
    **dict.fromkeys(("help", "start", "帮助"), "help"),
    **dict.fromkeys(("character", "char", "角色"), "character"),
    **dict.fromkeys(("reset", "重置"), "reset"),
    **dict.fromkeys(("regenerate", "regen", "retry", "重说"), "regenerate"),
    **dict.fromkeys(("good", "赞"), "good"),
    **dict.fromkeys(("bad", "踩"), "bad"),
    **dict.fromkeys(("forget", "忘记"), "forget"),
    **dict.fromkeys(("consent", "授权"), "consent"),
    **dict.fromkeys(("export", "导出"), "export"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """`name` is None for a command that there is not; `word` is what was written."""

    name: Name | None
    word: str
    argument: str


def parse(text: str) -> Command | None:
    """The command in a message, or None for ordinary talk.

    A command is a slash (／ too), a word and perhaps an argument. `/` alone, `//`, a path such as `/usr/bin`
    or a kaomoji such as `/(ㄒoㄒ)/` is talk.
    """
    if text[:1] not in ("/", "／"):
        return None
    word, _, argument = text[1:].partition(" ")
    if "\n" in word:
        word, _, argument = text[1:].partition("\n")
    if not word or not word.replace("_", "").isalpha():
        return None
    return Command(_NAMES.get(word.lower()), word[:32], argument.strip())
