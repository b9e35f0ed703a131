"""A name or a coined term of a work, and where terms stand in a text.

All terms are looked for in one pass, by one regular expression that is a tree of their letters: at every
place the longest term wins, and a place where no term begins costs next to nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

TermKind = Literal["person", "school", "place", "group", "work", "term"]
Action = Literal["placeholder", "generalise", "drop", "keep", "undecided"]
KINDS: tuple[TermKind, ...] = get_args(TermKind)
ACTIONS: tuple[Action, ...] = get_args(Action)
LONGEST = 64  # letters: what is longer is a sentence

WORD = "word"  # the source of an ordinary word that contains a short name, and stays: `朋友` beside `友`

# Latin, Greek, Cyrillic: written with blanks between words.
_ALPHABETIC = "0-9A-Za-z\u00c0-\u024f\u0370-\u052f"
_KATAKANA = "\u30a1-\u30fa"
_HIRAGANA = "\u3041-\u3096"
# A short name in hiragana reads like grammar (`私はうれしい` holds はう), so it needs a particle or a form of
# address after it.
_AFTER_KANA = "(?=$|[^" + _HIRAGANA + "]|さん|ちゃん|くん|さま|たん|せんぱい|[がはをにのもとへでやよねなっ])"
_BEFORE_KANA = "はがもとのにをでや"
_MARKUP = re.compile(r"[{}<>\[\]〔〕\t\n\\]")
_IS_ALPHABETIC = re.compile(f"[{_ALPHABETIC}]")
_IS_KATAKANA = re.compile(f"[{_KATAKANA}]")
_IS_SHORT_KANA = re.compile(f"[{_HIRAGANA}]{{1,2}}")


@dataclass(frozen=True, slots=True)
class Hit:
    """What one source says of a text: that it is a name or a term. `of` is whose name it is, if known."""

    text: str
    kind: TermKind
    source: str
    language: str
    of: str = ""
    sure: bool = True  # False: undecided until a person looks at it


@dataclass(frozen=True, slots=True)
class Term:
    """A name or a term, and what is done about it.

    `action` "drop" takes out what it stands in; "keep" keeps it, with what stands in it; "undecided" is as if
    the term were not there: it stays, but a shorter one inside it does not. `replacement` is what stands in
    its place for "placeholder" and "generalise". `sources` are who found it, such as `speaker`, `keyness`,
    `ner:ginza`; `of` the characters whose name or part of a name it is.
    """

    text: str
    kind: TermKind
    language: str
    action: Action
    replacement: str = ""
    sources: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    count: int = 0  # in the lines of the work
    examples: tuple[str, ...] = ()  # a few of those lines


def is_term(text: str) -> bool:
    """Whether a text can be a term: a few letters in one line, without markup."""
    return (
        0 < len(text) <= LONGEST
        and text == text.strip()
        and not _MARKUP.search(text)
        and any(letter.isalpha() for letter in text)
    )


def weight(term: Term) -> tuple[int, int, str]:
    """For sorting: what is taken out first, the most frequent on top, then what is undecided, what stays."""
    order = {"undecided": 1, "keep": 2}
    return order.get(term.action, 0), -term.count, term.text


class Matcher:
    """Where terms stand in a text. Longest first; no term inside another; whole words in alphabetic writing.

    A term in Latin, Greek or Cyrillic letters is also found in capitals and with a curly apostrophe.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self._terms: dict[str, Term] = {}
        for term in terms:
            for form in _forms(term.text):
                if form == term.text or form not in self._terms:
                    self._terms[form] = term
        self._pattern = re.compile(_pattern(self._terms)) if self._terms else None

    def find(self, text: str) -> Iterator[tuple[int, int, Term]]:
        """Each term in `text`, with where it begins and ends."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield match.start(), match.end(), self._terms[match[0]]


def _forms(text: str) -> set[str]:
    forms = {text, text.replace("'", "’")}
    if len(text) > 1 and _IS_ALPHABETIC.search(text):
        forms |= {form.upper() for form in forms}
    return forms


_Tree = dict[str, "_Tree"]  # letter -> what may follow; "" marks the end of a word


def _pattern(words: Iterable[str]) -> str:
    """One branch a first letter, so that a search goes from one such letter to the next."""
    tree: _Tree = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return "|".join(
        re.escape(letter) + _before(letter) + _branches(tree[letter], letter) for letter in sorted(tree)
    )


def _branches(tree: _Tree, stem: str) -> str:
    """What may follow `stem`, the longest word first."""
    letters = ""
    while len(tree) == 1 and "" not in tree:  # one way only: no group, so that depth stays small
        [(letter, tree)] = tree.items()
        letters += re.escape(letter)
        stem += letter
    ways = [re.escape(letter) + _branches(tree[letter], stem + letter) for letter in sorted(tree) if letter]
    if "" in tree:
        ways.append(_after(stem))
    return letters + (ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})")


def _before(letter: str) -> str:
    """What may not stand before a word, said behind its first letter."""
    if _IS_ALPHABETIC.match(letter):
        return f"(?<![{_ALPHABETIC}]{re.escape(letter)})"
    return f"(?<![{_KATAKANA}ー]{letter})" if _IS_KATAKANA.match(letter) else ""


def _after(word: str) -> str:
    """What must stand after a word."""
    if _IS_ALPHABETIC.match(word[-1]):
        return f"(?![{_ALPHABETIC}])"
    if _IS_KATAKANA.match(word[-1]):
        return f"(?!ー*[{_KATAKANA}])"  # リツー is リツ called aloud
    if _IS_SHORT_KANA.fullmatch(word):
        return f"(?:(?<![{_HIRAGANA}]{word})|(?<=[{_BEFORE_KANA}]{word})){_AFTER_KANA}"
    return ""
