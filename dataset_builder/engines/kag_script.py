"""A `.ks` file in its work."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataset_builder.engines.kag_macros import Learned
from dataset_builder.engines.kag_speakers import Rules
from dataset_builder.engines.kag_tags import Dialect

_FOLDERS = 8  # of a path that `storage=` may name


@dataclass(frozen=True)
class Script:
    """A file's text, and what is known about the work: `paths` leads from the ends of a file's path, in lower
    case, to its name."""

    file: str
    text: str
    dialect: Dialect
    learned: Learned
    rules: Rules
    paths: Mapping[str, str]

    def find(self, storage: str) -> str:
        """The name in the work of what `storage=` means: with folders or without, as KiriKiri searches. What
        is not there keeps the name that the script gives."""
        path = storage.removeprefix("./").lower()
        return self.paths.get(path) or self.paths.get(path.rpartition("/")[2]) or storage


def path_ends(names: Iterable[str]) -> dict[str, str]:
    """`data/scenario/a.ks`, `scenario/a.ks` and `a.ks` lead to the file; of several the first wins."""
    found: dict[str, str] = {}
    for name in names:
        parts = name.lower().split("/")
        for start in range(max(0, len(parts) - _FOLDERS), len(parts)):
            found.setdefault("/".join(parts[start:]), name)
    return found
