"""Names and coined terms of a work, found in its scenes, so that a model learns how a character talks and not
what belongs to the work.

Several sources are asked, and what any of them is sure of is taken out:

- the script itself (`lexicon`): speakers, parts of their names, forms of address, readings, links;
- what is frequent in the work and rare in general (`keyness`, `capitals`);
- a model for named entities where one is installed (`ner`), a language model when asked (`model_terms`);
- the user's own lists.

What a source only suspects is kept, and listed for a person to look at (`review`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dataset_builder.decode import decode
from dataset_builder.errors import DatasetError
from dataset_builder.filtering.address import without_address
from dataset_builder.filtering.capitals import NOT_FOR, capitalised
from dataset_builder.filtering.frequency import ORDINARY, WIDE, Frequency, frequency
from dataset_builder.filtering.keyness import coined, kind_by_ending
from dataset_builder.filtering.lexicon import marked, named, speakers
from dataset_builder.filtering.ner import JIEBA
from dataset_builder.filtering.placeholders import with_placeholders
from dataset_builder.filtering.terms import (
    KINDS,
    LONGEST,
    WORD,
    Action,
    Hit,
    Matcher,
    Term,
    TermKind,
    is_term,
    weight,
)
from dataset_builder.languages import guess_all
from dataset_builder.report import Losses
from dataset_builder.schema import Scene

EXAMPLES = 3
_AROUND = 20  # letters of a line on either side of a term in an example
_BESIDE = 3  # letters beside a one-letter name that may make an ordinary word of it
_WORD_ZIPF = 2.5  # how ordinary that word is at least
_COMMON = 4.5  # Zipf: a model that reads whole sentences may be right about a word that is rarer


def find_terms(
    scenes: Sequence[Scene],
    losses: Losses,
    *,
    more: Iterable[Hit] = (),
    deny: Mapping[str, TermKind | None] | None = None,
    allow: Collection[str] = (),
) -> list[Term]:
    """The terms of a work, by `weight`, with placeholders.

    `more` are the hits of models; `deny` is what is taken out in any case, `allow` what stays in any case. A
    source that cannot be asked (no list of words for a language) is named in `losses`.
    """
    texts = texts_by_language(scenes)
    generals = {language: general for language in texts if (general := frequency(language, losses))}
    hits = [
        *script_hits(scenes, texts, generals),
        *(_doubted(hit, generals.get(hit.language)) for hit in more),
    ]
    terms = _merged(hits, deny or {}, frozenset(allow))
    terms += _ordinary_words(terms, texts, generals)
    return with_placeholders(sorted(_counted(terms, texts), key=weight))


def texts_by_language(scenes: Sequence[Scene]) -> dict[str, list[str]]:
    """All that can be read in the scenes and their translations, by language."""
    unknown = [line.text for scene in scenes if not scene.language for line in scene.lines]
    guessed = guess_all(unknown) if unknown else ""
    texts: dict[str, list[str]] = {}
    for scene in scenes:
        own = texts.setdefault(scene.language or guessed, [])
        for line in scene.lines:
            own.append(line.text)
            for language, text in line.translations.items():
                texts.setdefault(language, []).append(text)
    return texts


def script_hits(
    scenes: Sequence[Scene], texts: Mapping[str, Sequence[str]], generals: Mapping[str, Frequency]
) -> Iterator[Hit]:
    """What the scripts themselves tell, without a model."""
    names = speakers(scenes)
    translated = {language for scene in scenes for line in scene.lines for language in line.translations}
    for language, lines in texts.items():
        general = generals.get(language)
        # Name plates are in the language of the original.
        found = list(named(language, Counter() if language in translated else names, lines, general))
        yield from found
        base = language.partition("-")[0]
        if general is None:
            continue
        if base in WIDE:
            # One letter is no reason to leave out a word that it stands in.
            known = Matcher(_term(hit) for hit in found if hit.sure and len(hit.text) > 1)
            yield from coined(language, lines, known, general, frequency("en", Losses()))
        elif base not in NOT_FOR:
            yield from capitalised(language, lines, general)
    yield from marked(scenes, generals)


def read_words(path: Path) -> dict[str, TermKind | None]:
    """A user's list: a word or name a line, with its kind after a tab if it matters; `#` begins a comment.

    Raises `DatasetError` for a file that cannot be read and a kind that there is not.
    """
    words: dict[str, TermKind | None] = {}
    try:
        text = decode(path.read_bytes(), path.name)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    for number, line in enumerate(text.split("\n"), 1):
        word, _, kind = (part.strip() for part in line.partition("\t"))
        if not word or word.startswith("#"):
            continue
        if len(word) > LONGEST:
            raise DatasetError(f"`{path}`, line {number}: more than {LONGEST} letters are no word")
        found = next((each for each in KINDS if each == kind), None)
        if kind and found is None:
            raise DatasetError(f"`{path}`, line {number}: `{kind}` is none of {', '.join(KINDS)}")
        words[word] = found
    return words


def _doubted(hit: Hit, general: Frequency | None) -> Hit:
    """What a model takes for a name is a suspicion only when it is an ordinary word, or made of such."""
    if general is None or not hit.sure:
        return hit
    common = general.zipf(hit.text) >= (ORDINARY if hit.source == JIEBA else _COMMON)
    words = general.words(hit.text) if hit.language.partition("-")[0] in WIDE else [hit.text]
    made = len(words) > 1 and all(len(word) > 1 and general.is_ordinary(word) for word in words)
    return replace(hit, sure=not common and not made)


def _term(hit: Hit) -> Term:
    return Term(hit.text, hit.kind, hit.language, "keep")


def _merged(hits: Iterable[Hit], deny: Mapping[str, TermKind | None], allow: frozenset[str]) -> list[Term]:
    by_text: dict[str, list[Hit]] = {}
    for hit in hits:
        # A name that comes with a form of address is the name: 友君 is 友. Only a plate keeps both.
        plain = hit.source != "speaker" and is_term(hit.text) and without_address(hit.text, hit.language)
        if plain and plain != hit.text:
            hit = replace(hit, text=plain, kind="person")
        if is_term(hit.text):
            by_text.setdefault(hit.text, []).append(hit)
    for text, kind in deny.items():
        by_text.setdefault(text, []).append(Hit(text, kind or "term", "deny", guess_all([text])))
    for text in allow:
        by_text.setdefault(text, []).append(Hit(text, "term", "allow", guess_all([text])))
    terms = []
    for text, found in by_text.items():
        action: Action = "placeholder" if any(hit.sure for hit in found) else "undecided"
        if text in allow:
            action = "keep"
        elif text in deny:
            action = "placeholder"
        terms.append(
            Term(
                text,
                deny.get(text) or _kind(text, found),
                found[0].language,
                action,
                sources=tuple(sorted({hit.source for hit in found})),
                of=tuple(sorted({hit.of for hit in found if hit.of})),
            )
        )
    return terms


def _kind(text: str, hits: Sequence[Hit]) -> TermKind:
    kinds = Counter(hit.kind for hit in hits)
    if kinds["person"]:
        return "person"
    del kinds["term"]
    if kinds:
        return max(kinds, key=lambda kind: (kinds[kind], kind))
    return kind_by_ending(text) or "term"


def _ordinary_words(
    terms: Iterable[Term], texts: Mapping[str, Sequence[str]], generals: Mapping[str, Frequency]
) -> list[Term]:
    """Words that hold a name of one letter and are none: 朋友 beside 友, 忍不住 beside 忍."""
    taken = {term.text for term in terms}
    short = {term.text for term in terms if len(term.text) == 1}
    found: dict[str, str] = {}
    for language, lines in texts.items():
        general = generals.get(language)
        if general is None or not short or language.partition("-")[0] not in WIDE:
            continue
        for text in lines:
            if short.isdisjoint(text):
                continue
            for at, letter in enumerate(text):
                if letter in short:
                    for start in range(max(0, at - _BESIDE), at + 1):
                        for end in range(at + 1, min(len(text), at + 1 + _BESIDE) + 1):
                            word = text[start:end]
                            if end - start > 1 and word not in taken and general.zipf(word) >= _WORD_ZIPF:
                                found[word] = language
    return [Term(word, "term", language, "keep", sources=(WORD,)) for word, language in sorted(found.items())]


def _counted(terms: Sequence[Term], texts: Mapping[str, Sequence[str]]) -> Iterator[Term]:
    """The terms with their counts and examples; what stands nowhere goes, but for speakers and the user's own
    words."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    matcher = Matcher(terms)
    for lines in texts.values():
        for text in lines:
            for start, end, term in matcher.find(text):
                counts[term.text] += 1
                shown = examples.setdefault(term.text, [])
                if len(shown) < EXAMPLES and (line := _shown(text, start, end)) not in shown:
                    shown.append(line)
    for term in terms:
        if counts[term.text] or not {"speaker", "deny", "allow"}.isdisjoint(term.sources):
            yield replace(term, count=counts[term.text], examples=tuple(examples.get(term.text, ())))


def _shown(text: str, start: int, end: int) -> str:
    left, right = max(0, start - _AROUND), end + _AROUND
    return f"{'…' if left else ''}{text[left:right]}{'…' if right < len(text) else ''}"
