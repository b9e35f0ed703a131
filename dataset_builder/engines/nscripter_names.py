"""Who speaks in an NScripter script: `【名】`, `[名]` and `名「…」`, which the engine knows nothing of."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from dataset_builder.engines.nscripter_text import LEADING

_PLATE = re.compile(r"[ \t　]*【([^【】\n]{1,40})】")
# [名], and what a work's own routine is given beside it: [名/voice01].
_TAG = re.compile(r"[ \t]*\[([^\[\]\n/]{1,40})((?:/[^\[\]\n/]{0,60}){0,8})\]")
_NAME = r"[ \t　]*([^\s　「『（()【】、。…！？!?―@\\%$#]{1,12})"
_NAMED = re.compile(_NAME + r"(?=[「『（])")
_QUOTED = re.compile(rf"\n{LEADING}*+{_NAME}[「『（][^\n]*[」』）](?:{LEADING}|[@\\/])*+(?=\n)")
_PARTICLES = frozenset("はがをにとのもでやへばてしらかれった")
_OFTEN, _VERY_OFTEN = 2, 6  # times that a name stands before a bracket; the latter if it ends like a phrase


class Named(NamedTuple):
    """A line that begins with a name: `beside` is what the name's tag holds beside it; `once`: it names this
    message alone, not all of the page."""

    name: str
    beside: str
    rest: str
    once: bool


class Names:
    """The names of a work. One that stands before a bracket is a name if it does so again and again."""

    def __init__(self, texts: Iterable[str], known: Iterable[str]) -> None:
        """`known` are names that somebody gave."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_QUOTED.findall(f"\n{text}\n"))
        self._known = set(known)
        for name, count in counts.items():
            if count >= (_VERY_OFTEN if name[-1] in _PARTICLES else _OFTEN):
                self._known.add(name)

    def split(self, text: str) -> Named | None:
        """The name that a line begins with."""
        first = text[:1]
        if first == "「":
            return None
        if "【" in text[:8] and (match := _PLATE.match(text)):
            return Named(match[1].strip(), "", text[match.end() :], once=False)
        if first == "[" and (match := _TAG.match(text)):
            return Named(match[1].strip(), match[2][1:], text[match.end() :], once=False)
        if self._known and (match := _NAMED.match(text)) and match[1] in self._known:
            return Named(match[1], "", text[match.end() :], once=True)
        return None
