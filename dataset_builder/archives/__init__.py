"""Archives that a work may lie in. A module here tells its archives apart and lists their members."""

from collections.abc import Iterator
from typing import Protocol

from dataset_builder.work import ScriptFile


class Archive(Protocol):
    """What a module here offers."""

    NAME: str

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins like this is one of its archives."""
        ...

    def members(self, file: ScriptFile) -> Iterator[ScriptFile]:
        """Its files, `<archive>/<name>`. Raises `ScriptError`, or `ProtectedScript` where it is locked."""
        ...
