"""Where a jump leads that its own file does not explain: to a scene of another file of the work."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from dataset_builder.decode import decode
from dataset_builder.errors import ScriptError
from dataset_builder.work import ScriptFile


class Elsewhere:
    """Scenes of all files by name. The files are looked through once, when a name is first asked for."""

    def __init__(
        self, files: Sequence[ScriptFile], encoding: str | None, names: Callable[[str], Iterable[str]]
    ) -> None:
        """`names` gives the scenes that a file's text has."""
        self._files = files
        self._encoding = encoding
        self._names = names
        self._homes: dict[str, list[str]] | None = None

    def find(self, name: str, file: str) -> str:
        """`other#name`, or "" where no other file has such a scene, or several have."""
        if len(self._files) < 2:
            return ""
        if self._homes is None:
            self._homes = self._look()
        others = [home for home in self._homes.get(name, ()) if home != file]
        return f"{others[0]}#{name}" if len(others) == 1 else ""

    def _look(self) -> dict[str, list[str]]:
        homes: dict[str, list[str]] = {}
        for file in self._files:
            with suppress(ScriptError):  # it is told where the file itself is read
                for name in dict.fromkeys(self._names(decode(file.read(), file.name, self._encoding))):
                    homes.setdefault(name, []).append(file.name)
        return homes
