"""What can go wrong on the way from a script to rows.

::

    DatasetError
    ├── ScriptError         a file that cannot be read as what it seems to be; .file, .line, .reason
    ├── ProtectedScript     a file whose maker locked it: .file, .kind; opening it is its owner's business
    ├── BudgetSpent         what a run may cost was reached; everything finished is kept
    └── Garbage             an answer of a model that cannot be read (in `dataset_builder.asking.question`)
"""


class DatasetError(Exception):
    """The root: one line for a person, with what to do next."""


class ScriptError(DatasetError):
    """A broken file. `line` counts from 1; 0 where the file has no lines."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
        super().__init__(f"`{file}`{f', line {line}' if line else ''}: {reason}")


class ProtectedScript(DatasetError):
    """An encrypted or packed file: we say which kind it is and stop."""

    def __init__(self, file: str, kind: str) -> None:
        self.file = file
        self.kind = kind
        super().__init__(f"`{file}` is protected ({kind}); unpack it with your own tools and give the result")


class BudgetSpent(DatasetError):
    """The budget of a run is used up."""
