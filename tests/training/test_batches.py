"""A batch that holds each card once."""

from training.batches import pack
from training.data import IGNORED


def row(prefix: list[int], rest: list[int]) -> dict[str, object]:
    return {"input_ids": prefix + rest, "labels": [IGNORED] * len(prefix) + rest, "prefix": len(prefix)}


def test_a_shared_prefix_stands_once_and_rows_go_on_at_its_end() -> None:
    packed = pack([row([1, 2, 3], [4, 5]), row([1, 2, 3], [6])])
    assert packed.ids == [1, 2, 3, 4, 5, 6]
    assert packed.positions == [0, 1, 2, 3, 4, 3]
    assert packed.row == [-1, -1, -1, 0, 0, 1]
    assert packed.labels == [IGNORED] * 3 + [4, 5, 6]


def test_rows_of_other_prefixes_make_blocks_of_their_own() -> None:
    packed = pack([row([1, 2], [3]), row([7], [8]), row([1, 2], [4]), row([], [9])])
    assert packed.ids == [1, 2, 3, 4, 7, 8, 9]
    assert packed.block == [0, 0, 0, 0, 1, 1, 2]
    assert packed.row == [-1, -1, 0, 2, -1, 1, 3]
    assert packed.positions == [0, 1, 2, 2, 0, 1, 0]
