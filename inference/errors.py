"""What can go wrong between us and the model.

::

    InferenceError
    ├── InferenceUnavailable    refused, timed out, 5xx, a stream cut off: may be tried again
    ├── InferenceRejected       4xx, an unknown version, a prompt too long: useless to repeat; .status, .known
    ├── CharacterError          a character's folder or card cannot be read; .path
    ├── AdapterError            a LoRA adapter that must not be loaded; .path, .reason
    └── ModelError              the base model cannot be prepared or served
"""

from collections.abc import Iterable
from pathlib import Path


class InferenceError(Exception):
    """The root: one line for a person, with what to do next."""


class InferenceUnavailable(InferenceError):
    """The server did not answer, or not to the end. The same request may succeed later."""


class InferenceRejected(InferenceError):
    """The server answered that this request cannot be served."""

    def __init__(self, message: str, *, status: int = 400, known: Iterable[str] = ()) -> None:
        self.status = status
        self.known = tuple(known)
        super().__init__(message)


class CharacterError(InferenceError):
    """A character that cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"character `{path}`: {reason}")


class AdapterError(InferenceError):
    """An adapter that would break the server or answer wrongly."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"adapter `{path}`: {reason}")


class ModelError(InferenceError):
    """No base model to serve."""
