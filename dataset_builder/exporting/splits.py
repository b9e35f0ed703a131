"""Which scenes train and which are held out: by a hash of their names, whole scenes and never single rows."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_TOO_LARGE = 0.5  # of all rows: a larger group of scenes is always trained


def scene_name(work: str, file: str, scene: str) -> str:
    """`work/file#scene`, under which a scene is split; "" where nothing tells it from others."""
    return f"{work}/{file}#{scene}" if file or scene else ""


def fraction(seed: int, name: str) -> float:
    """Where a name falls between 0 and 1: the same in every run, and even over many names."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def groups(names: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name with the first (by letters) of all names that links lead to, its own where none does."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for one, other in links:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return {name: root(name) for name in parent}


def assign(sizes: Mapping[str, int], validation: float, test: float, seed: int) -> dict[str, Split]:
    """A split for each group; `sizes` tells its rows, the shares are between 0 and 1.

    A group's place does not depend on the others, so more scenes move nobody from training to the test. Two
    exceptions: a group with more than half of all rows is trained, and a split that would be empty takes a
    group from one that has several.
    """
    total = sum(sizes.values())
    places = {name: fraction(seed, name) for name in sizes}
    order = sorted(sizes, key=lambda name: (places[name], name))
    found: dict[str, Split] = dict.fromkeys(order, "train")
    for name in order:
        if places[name] < test + validation and sizes[name] <= _TOO_LARGE * total:
            found[name] = "test" if places[name] < test else "validation"
    if order and "train" not in found.values():
        found[order[-1]] = "train"
    held_out: tuple[tuple[Split, float], ...] = (("test", test), ("validation", validation))
    for split, share in held_out:
        held = Counter(found.values())
        spare = [name for name in order if held[found[name]] > 1 and sizes[name] <= _TOO_LARGE * total]
        if share > 0 and not held[split] and spare:
            found[min(spare, key=lambda name: found[name] != "train")] = split
    return found
