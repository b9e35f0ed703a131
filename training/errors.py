"""What can go wrong while a character is trained.

::

    TrainingError        one line for a person, naming the row, key or remedy
    ├── ConfigError      a wrong key or value in a YAML file or on the command line; the run never began
    └── RowError         a row that cannot be trained on; .path, .line
"""

from pathlib import Path


class TrainingError(Exception):
    """The root: a run that cannot go on. What was saved before stays."""


class ConfigError(TrainingError):
    """A configuration that means nothing."""


class RowError(TrainingError):
    """A row of a data file, by its line."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"`{path}`, line {line}: {reason}")
