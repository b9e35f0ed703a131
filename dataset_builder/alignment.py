"""Which record of a translation belongs to which of the original, where one of them lost or gained a few.

After W. Gale and K. Church (A Program for Aligning Sentences in Bilingual Corpora, 1993): the cheapest way
through both lists, where a pair costs by how far its lengths are from each other. Here a pair costs much
more when only one of the two has a name plate, so that names hold the lists together.
"""

from collections.abc import Sequence

_SLACK = 12  # records by which the way may stray, beside the difference of the lengths
_LIMIT = 1_500_000  # cells of the table; about a second
_GAP = 0.6  # what a record without a partner costs; a pair of like lengths costs 0, of unlike ones up to 1
_UNLIKE = 2.0  # more than two gaps: no pair of a speech and a narration is ever made


def align(first: Sequence[tuple[bool, int]], second: Sequence[tuple[bool, int]]) -> list[tuple[int, int]]:
    """Pairs of indexes, in order. A record is (has it a name, its text's length).

    Lists of one length belong together record by record. Lists that are too long or too unlike for the
    table give the records before the first and after the last one that do not match.
    """
    if len(first) == len(second):
        return [(at, at) for at in range(len(first))]
    width = abs(len(first) - len(second)) + 2 * _SLACK + 1
    if len(first) * width > _LIMIT:
        return _ends(first, second)
    return _cheapest(first, second, width)


def _ends(first: Sequence[tuple[bool, int]], second: Sequence[tuple[bool, int]]) -> list[tuple[int, int]]:
    shorter, shift = min(len(first), len(second)), len(second) - len(first)
    front = 0
    while front < shorter and first[front][0] == second[front][0]:
        front += 1
    back = len(first)
    while back > len(first) - shorter + front and first[back - 1][0] == second[back - 1 + shift][0]:
        back -= 1
    return [(at, at) for at in range(front)] + [(at, at + shift) for at in range(back, len(first))]


def _cheapest(
    first: Sequence[tuple[bool, int]], second: Sequence[tuple[bool, int]], width: int
) -> list[tuple[int, int]]:
    """By dynamic programming in a band: cell `k` of row `i` ends at `first[:i]`, `second[:low + i + k]`."""
    low = min(0, len(second) - len(first)) - _SLACK
    scale = sum(length for _, length in second) / max(1, sum(length for _, length in first))
    far = float("inf")
    before = [far] * (width + 1)  # one cell more, always far: what stands outside of the band
    steps: list[bytearray] = []  # 0: a pair, 1: only of the first, 2: only of the second
    for i in range(len(first) + 1):
        row, step = [far] * (width + 1), bytearray(width)
        named, length = first[i - 1] if i else (False, 0)
        expected = length * scale
        for k in range(width):
            j = low + i + k
            if not 0 <= j <= len(second):
                continue
            if i == 0 and j == 0:
                row[k] = 0.0
                continue
            cost, chosen = far, 0
            if i and j:
                other_named, other = second[j - 1]
                cost = before[k] + (
                    _UNLIKE if named != other_named else abs(expected - other) / (expected + other + 4)
                )
            if i and (alone := before[k + 1] + _GAP) < cost:
                cost, chosen = alone, 1
            if k and (alone := row[k - 1] + _GAP) < cost:
                cost, chosen = alone, 2
            row[k], step[k] = cost, chosen
        before = row
        steps.append(step)
    pairs = []
    i, k = len(first), len(second) - len(first) - low
    while i or low + i + k:
        chosen = steps[i][k]
        if chosen == 0:
            pairs.append((i - 1, low + i + k - 1))
            i -= 1
        elif chosen == 1:
            i, k = i - 1, k + 1
        else:
            k -= 1
    pairs.reverse()
    return pairs
