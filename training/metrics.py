"""What evaluation counts: each figure with a bootstrap interval, and how near a line is to her own.

All of it works on text and numbers alone; no model is needed.
"""

import json
import math
import random
import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from training.errors import TrainingError

DRAWS = 2000
CONFIDENCE = 0.95

Statistic = Callable[[Any], Any]


class Figure(BaseModel):
    """A value and its 95 % interval; `n` is how many items were counted."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: int


UNKNOWN = Figure(value=0.0, low=0.0, high=0.0, n=0)


def bootstrap(
    columns: Sequence[Sequence[float]],
    statistic: Statistic,
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 7,
) -> Figure:
    """`statistic` of the sums of `columns`, with a percentile bootstrap over clusters of items.

    `columns` are k lists of n items. `statistic` takes the k sums, as an array of [k] or [k, draws], and
    gives one number or one a draw; means, ratios and perplexities are all of that kind. Columns of two
    systems that answered the same items make a paired comparison. `clusters` names for each item what is
    drawn together (the turns of one dialogue depend on each other); unset, items are drawn alone.
    (Efron & Tibshirani 1993, chapters 8 and 13.)
    """
    import numpy as np

    values = np.asarray(columns, dtype=float)
    count = values.shape[1]
    if not count:
        return UNKNOWN
    _, cluster = np.unique(_numbered(clusters or range(count)), return_inverse=True)
    groups = cluster.max() + 1
    sums = np.stack([np.bincount(cluster, column, groups) for column in values])
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), DRAWS)
    tail = 50 * (1 - CONFIDENCE)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(values.sum(axis=1)))
        draws = np.asarray(statistic(sums @ drawn.T), dtype=float)
    if not math.isfinite(value):  # a ratio to nothing
        return UNKNOWN
    low, high = np.percentile(draws[np.isfinite(draws)], [tail, 100 - tail])
    return Figure(value=value, low=float(low), high=float(high), n=count)


def _numbered(names: Sequence[Hashable]) -> list[int]:
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def mean(values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, scale: float = 1) -> Figure:
    """The mean of `values`, times `scale`."""
    ones = [1.0] * len(values)
    return bootstrap([values, ones], lambda sums: scale * sums[0] / sums[1], clusters)


def share(hits: Sequence[bool], clusters: Sequence[Hashable] | None = None) -> Figure:
    """Of `hits` that are true, in percent.

    Where all are the same there is nothing to draw, and the bootstrap would be sure of what it has not seen;
    then the far end is Clopper's and Pearson's, with a cluster for a trial.
    """
    figure = mean([float(hit) for hit in hits], clusters, scale=100)
    if not hits or 0 < figure.value < 100:
        return figure
    trials = len(set(clusters)) if clusters else len(hits)
    edge = 100 * ((1 - CONFIDENCE) / 2) ** (1 / trials)
    low, high = (0.0, 100 - edge) if figure.value == 0 else (edge, 100.0)
    return figure.model_copy(update={"low": low, "high": high})


def gain(new: Sequence[float], old: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Figure:
    """How much higher the mean of `new` is than that of `old`, in percent of `old`; item by item."""
    return bootstrap([new, old], lambda sums: 100 * (sums[0] / sums[1] - 1), clusters)


def loss(new: Sequence[float], old: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Figure:
    """How much lower the mean of `new` is than that of `old`, in percent of `old`; item by item."""
    return bootstrap([new, old], lambda sums: 100 * (1 - sums[0] / sums[1]), clusters)


def perplexity(log_probabilities: Sequence[float], tokens: Sequence[float]) -> Figure:
    """A token's, of items with the natural log-probability and the count of tokens of each."""
    import numpy as np

    return bootstrap([log_probabilities, tokens], lambda sums: np.exp(-sums[0] / np.maximum(1, sums[1])))


def perplexity_drop(new: Sequence[float], old: Sequence[float], tokens: Sequence[float]) -> Figure:
    """How much lower the perplexity of `new` is than that of `old` over the same tokens, in percent."""
    import numpy as np

    return bootstrap(
        [new, old, tokens], lambda sums: 100 * (1 - np.exp((sums[1] - sums[0]) / np.maximum(1, sums[2])))
    )


# --- how near a reply is to her own line ---------------------------------------------------------------


def words(text: str, language: str) -> list[str]:
    """Words and marks: jieba's for Chinese, as the seed's figures were counted; Japanese by characters."""
    if language == "zh":
        return [word for word in _jieba().cut(text) if not word.isspace()]
    if language == "ja":
        return characters(text)
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text.casefold())


@cache
def _jieba() -> Any:
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has old escapes
        import jieba

    jieba.setLogLevel(logging.WARNING)
    return jieba.Tokenizer()


def characters(text: str) -> list[str]:
    return [each for each in text if not each.isspace()]


def rouge1(reply: str, own: str, language: str) -> float:
    """ROUGE-1 of a reply to her own line, 0 to 1: the seed's measure of style."""
    return rouge_n(words(reply, language), words(own, language), 1)


def rouge_n(reply: Sequence[str], own: Sequence[str], n: int) -> float:
    """F1 of the n-grams in both, 0 to 1, each counted once, as `rouge_chinese` does."""
    left, right = set(_ngrams(reply, n)), set(_ngrams(own, n))
    return _f1(len(left & right), len(left), len(right))


def rouge_l(reply: Sequence[str], own: Sequence[str]) -> float:
    """F1 of the longest common subsequence, 0 to 1."""
    above = [0] * (len(own) + 1)
    for word in reply:
        row = [0]
        for at, other in enumerate(own):
            row.append(above[at] + 1 if word == other else max(above[at + 1], row[at]))
        above = row
    return _f1(above[-1], len(reply), len(own))


def bleu4(reply: Sequence[str], own: Sequence[str]) -> float:
    """BLEU-4 of one sentence, 0 to 1, with NLTK's third smoothing (NIST's), as LLaMA-Factory counts it."""
    logs, halved = 0.0, 0
    for n in range(1, 5):
        found = Counter(_ngrams(reply, n))
        hits = (found & Counter(_ngrams(own, n))).total()
        if not hits:
            if n == 1:
                return 0.0
            halved += 1
        precision = (hits or 0.5**halved) / max(1, found.total())
        logs += math.log(precision) / 4
    return math.exp(logs + min(0.0, 1 - len(own) / len(reply)))


def chrf(reply: str, own: str) -> float:
    """chrF2 of one sentence, 0 to 1 (Popović 2015), as sacreBLEU counts it."""
    left, right = characters(reply), characters(own)
    precisions, recalls = [], []
    for n in range(1, 7):
        found, wanted = Counter(_ngrams(left, n)), Counter(_ngrams(right, n))
        if found and wanted:
            hits = (found & wanted).total()
            precisions.append(hits / found.total())
            recalls.append(hits / wanted.total())
    if not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 5 * precision * recall / (4 * precision + recall)


def _ngrams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(items[at : at + n]) for at in range(len(items) - n + 1)]


def _f1(hits: int, found: int, wanted: int) -> float:
    return 2 * hits / (found + wanted) if hits else 0.0


# --- manner --------------------------------------------------------------------------------------------


def units(text: str, language: str) -> list[str]:
    """What repetition is counted in: words, and characters where words are not set apart."""
    return words(text, "en") if language not in ("zh", "ja") else characters(text)


def repetition(text: str, language: str) -> float:
    """Share of the 4-grams of a reply that it has said before (Welleck et al. 2020, seq-rep-4), 0 to 1."""
    grams = _ngrams(units(text, language), 4)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


_SCRIPTS = {
    "zh": re.compile(r"CJK UNIFIED|CJK COMPATIBILITY|IDEOGRAPHIC"),
    "ja": re.compile(r"CJK UNIFIED|CJK COMPATIBILITY|IDEOGRAPHIC|HIRAGANA|KATAKANA"),
    "en": re.compile(r"LATIN"),
}
_KANA = re.compile(r"[ぁ-ヿ]")
_SAYING = 6  # Japanese of so many letters has kana; shorter may be a name


def purity(text: str, language: str) -> float:
    """Share of a text's letters that are of the language's scripts, 0 to 1; 0 for what has no letters.

    Han without any kana is Chinese, and counts as such in a Japanese reply.
    """
    letters = [each for each in unicodedata.normalize("NFKC", text) if each.isalpha()]
    if not letters or (language == "ja" and len(letters) >= _SAYING and not _KANA.search(text)):
        return 0.0
    fitting = sum(1 for each in letters if _SCRIPTS[language].match(unicodedata.name(each, "")))
    return fitting / len(letters)


def usual_length(lines: Sequence[str]) -> tuple[int, int]:
    """The lengths in characters between which nine of ten of her lines are."""
    lengths = sorted(len(line) for line in lines)
    return lengths[int(0.05 * len(lengths))], lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]


def assistant_phrases(path: Path) -> dict[str, re.Pattern[str]]:
    """What an assistant says, by language, as one expression each."""
    found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return {
        language: re.compile("|".join(f"(?:{each})" for each in phrases), re.IGNORECASE)
        for language, phrases in found.items()
    }


_RARE = 3  # lines that a phrase must be in to be one of hers
_TIMES = 3  # as often in her lines as in others'


def catch_phrases(lines: Sequence[str], others: Sequence[str], language: str, most: int = 30) -> list[str]:
    """What she says again and again, and others do not: runs of three to six words, or of four to eight
    characters; the most frequent first. A run inside a longer one that is as frequent is left out."""
    lengths = range(4, 9) if language in ("zh", "ja") else range(3, 7)
    own, foreign = _in_lines(lines, language, lengths), _in_lines(others, language, lengths)
    hers = {
        run: count
        for run, count in own.items()
        if count >= _RARE and count * (len(others) + 1) >= _TIMES * (foreign[run] + 1) * len(lines)
    }
    # What is inside a longer run that is as frequent is inside one that is longer by one word.
    inside = {part for run in hers for part in (run[1:], run[:-1]) if hers.get(part) == hers[run]}
    found = sorted(hers.keys() - inside, key=lambda run: (-hers[run], -len(run), run))
    space = "" if language in ("zh", "ja") else " "
    return [f"{space}{space.join(run)}{space}" for run in found[:most]]


def phrases_in(text: str, phrases: Sequence[str], language: str) -> int:
    """How often any of `phrases` is said in a text."""
    joined = _joined(text, language)
    return sum(joined.count(phrase) for phrase in phrases)


def _in_lines(lines: Sequence[str], language: str, lengths: range) -> Counter[tuple[str, ...]]:
    """In how many lines each run of words is; runs do not cross a mark."""
    counts: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        parts = _joined(line, language).split(_MARK)
        split = [list(part) if language in ("zh", "ja") else part.split() for part in parts]
        counts.update({run for items in split for n in lengths for run in _ngrams(items, n)})
    return counts


_MARK = "\n"


def _joined(text: str, language: str) -> str:
    """A line in which runs can be looked for: marks are line ends, and English words have a space on each
    side."""
    if language in ("zh", "ja"):
        return "".join(each if each.isalnum() else _MARK for each in characters(text))
    parts = [word if word[0].isalnum() else _MARK for word in words(text, "en")]
    return f" {' '.join(parts)} "


# --- who said it ---------------------------------------------------------------------------------------


class Speaker:
    """Tells her lines from others': TF-IDF of character n-grams and logistic regression.

    Length must not give a speaker away. All lines are cut to her median length, and of the others as many
    are learned from at each length as there are of hers, while there are enough.
    """

    def __init__(self, hers: Sequence[str], others: Sequence[str], *, seed: int = 7) -> None:
        """Raises `TrainingError` for too few lines, or without scikit-learn."""
        if min(len(hers), len(others)) < ENOUGH_LINES:
            raise TrainingError(
                f"who said it cannot be learned from {len(hers)} lines of hers and {len(others)} of others, "
                f"but from {ENOUGH_LINES} of each; name files of other speakers' rows in `others`"
            )
        self._limit = sorted(map(len, hers))[len(hers) // 2]
        order = random.Random(seed)
        own, self._own_unseen = _set_apart(self._cut(hers), order)
        foreign, self._others_unseen = _set_apart(self._cut(others), order)
        foreign = _like_in_length(foreign, own, self._limit, order)
        self._by_words, self._by_length = _classifiers()
        labels = [True] * len(own) + [False] * len(foreign)
        self._by_words.fit(own + foreign, labels)
        self._by_length.fit(_lengths(own + foreign), labels)

    def _cut(self, lines: Sequence[str]) -> list[str]:
        return [line[: self._limit] for line in lines]

    def hers(self, lines: Sequence[str]) -> list[bool]:
        """Which of `lines` sound like her."""
        return self._by_words.predict(self._cut(lines)).tolist() if lines else []

    def checks(self) -> dict[str, Figure]:
        """How far it can be trusted, in percent: her unseen lines taken for hers and others' for others', and
        the same by their length alone, which should be near to 50 each."""
        own, foreign = self._own_unseen, self._others_unseen
        by_length = self._by_length.predict(_lengths(own + foreign)).tolist()
        return {
            "hers": share(self.hers(own)),
            "others": share([not each for each in self.hers(foreign)]),
            "hers_by_length": share(by_length[: len(own)]),
            "others_by_length": share([not each for each in by_length[len(own) :]]),
        }


ENOUGH_LINES = 10


def _set_apart(lines: Sequence[str], order: random.Random) -> tuple[list[str], list[str]]:
    """Four fifths to learn from, one fifth to check with; no line is in both."""
    unique = sorted(set(lines))
    order.shuffle(unique)
    checked = max(1, len(unique) // 5)
    return unique[checked:], unique[:checked]


def _like_in_length(
    others: Sequence[str], hers: Sequence[str], limit: int, order: random.Random
) -> list[str]:
    """Those of `others` whose lengths, at most `limit`, are spread about as hers."""
    shelves: defaultdict[int, list[str]] = defaultdict(list)
    edges = sorted({max(1, limit * part // 4) for part in range(1, 4)} | {limit})
    for line in others:
        shelves[bisect_left(edges, len(line))].append(line)
    wanted = Counter(bisect_left(edges, len(line)) for line in hers)
    # So many of each shelf that no shelf is short of its share, but not fewer than a third of hers.
    portion = min((len(shelves[shelf]) / count for shelf, count in wanted.items()), default=1)
    portion = max(portion, 1 / 3)
    return [
        line
        for shelf, count in sorted(wanted.items())
        for line in order.sample(shelves[shelf], min(len(shelves[shelf]), math.ceil(portion * count)))
    ]


def _lengths(lines: Sequence[str]) -> list[list[int]]:
    return [[len(line)] for line in lines]


def _classifiers() -> tuple[Any, Any]:
    """One of words, one that sees lengths and nothing else."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.tree import DecisionTreeClassifier
    except ImportError as error:
        raise TrainingError("who said it needs scikit-learn: `pip install scikit-learn`") from error
    by_words = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, min_df=2),
        LogisticRegression(C=10, class_weight="balanced", max_iter=1000),
    )
    return by_words, DecisionTreeClassifier(max_leaf_nodes=4, class_weight="balanced", random_state=0)
