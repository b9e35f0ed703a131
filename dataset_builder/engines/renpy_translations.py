"""Translations of Ren'Py scripts: identifiers of lines, and what `tl/` says instead of them (facts:
renpy/translation/__init__.py of Ren'Py 8, MIT; identifiers are the same since 6.15)."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from dataset_builder.engines.renpy_nodes import Say, Script
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses

_LANGUAGES_AT_MOST = 100
# How much longer a translated string may be: one string stands for any number of lines.
_LONGER, _LONG = 20, 1000

# Folders of translations are named by people; these names are Ren'Py's own and those of its launcher.
_LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hungarian": "hu", "indonesian": "id", "italian": "it",
    "japanese": "ja", "korean": "ko", "malay": "ms", "polish": "pl", "portuguese": "pt", "brazilian": "pt-BR",
    "russian": "ru", "schinese": "zh-Hans", "spanish": "es", "swedish": "sv", "tchinese": "zh-Hant",
    "thai": "th", "traditional_chinese": "zh-Hant", "simplified_chinese": "zh-Hans", "turkish": "tr",
    "ukrainian": "uk", "vietnamese": "vi",
}  # fmt: skip


def language_tag(name: str) -> str:
    """The BCP 47 tag for a language as a script calls it; the name itself where it is not known."""
    return _LANGUAGES.get(name.lower(), name)


class Identifiers:
    """Identifiers of lines in the order of the script: the last label, and a hash of the line.

    A label that begins with `_` is Ren'Py's own; lines below it are known by the label before it as well.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._given: set[str] = set()
        self._suffixes: Counter[str] = Counter()
        self._label = self._alternate = ""

    def begin(self, given: set[str]) -> None:
        """A file begins, in which these identifiers are written out."""
        self._given = given
        self._label = self._alternate = ""

    def enter(self, label: str) -> None:
        if label.startswith("_"):
            self._alternate = label
        else:
            self._label, self._alternate = label, ""

    def of(self, say: Say) -> tuple[str, ...]:
        """Those by which a line may be translated, the best first; none where Python says it."""
        if not say.code:
            return (say.identifier,) if say.identifier else ()
        code = "".join(f"{line}\r\n" for line in say.code)
        digest = hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()[:8]
        found = [self._unique(self._label, digest)]
        if self._alternate:
            found.append(self._unique(self._alternate, digest))
        if say.identifier:
            found[:1] = [say.identifier] if self._alternate else [say.identifier, *found]
        self._taken.update(found)
        return tuple(found)

    def _unique(self, label: str, digest: str) -> str:
        base = f"{label.replace('.', '_')}_{digest}" if label else digest
        identifier = base
        while identifier in self._taken or identifier in self._given:
            self._suffixes[base] += 1
            identifier = f"{base}_{self._suffixes[base]}"
        return identifier


class Translations:
    """What is said instead of a line or a string, by tags of languages.

    Raises `ScriptError` for so many languages that lines with all their translations would fill the memory.
    """

    def __init__(self, scripts: Iterable[Script]) -> None:
        self._lines: dict[str, dict[str, str]] = {}
        self._strings: dict[str, dict[str, str]] = {}
        languages: set[str] = set()
        for script in scripts:
            languages.update(script.translations, script.strings)
            if len(languages) > _LANGUAGES_AT_MOST:
                raise ScriptError(script.name, 0, f"there are more than {_LANGUAGES_AT_MOST} languages")
            for name, lines in script.translations.items():
                for identifier, texts in lines.items():
                    if said := "\n".join(filter(None, texts)):
                        self._lines.setdefault(identifier, {})[language_tag(name)] = said
            for name, strings in script.strings.items():
                for old, new in strings.items():
                    if new and len(new) <= _LONGER * len(old) + _LONG:
                        self._strings.setdefault(old, {})[language_tag(name)] = new
        self._unpaired = set(self._lines)

    def line(self, identifiers: tuple[str, ...], text: str) -> dict[str, str]:
        """The translations of a line; by its text, as Ren'Py does for `_( )`, where it has no identifier."""
        for identifier in identifiers:
            if found := self._lines.get(identifier):
                self._unpaired.discard(identifier)
                return found
        return self.string(text)

    def string(self, text: str) -> dict[str, str]:
        """The translations of a choice, a caption or a name."""
        return self._strings.get(text, {})

    def report(self, losses: Losses) -> None:
        """Warns of translations that belong to no line."""
        unpaired = Counter(tag for identifier in self._unpaired for tag in self._lines[identifier])
        for tag, count in sorted(unpaired.items()):
            losses.warn(f"translations ({tag})", f"{count} belong to no line of the scripts")
