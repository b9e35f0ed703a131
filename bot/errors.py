"""What can go wrong in the bot.

::

    BotError
    ├── ConfigurationError      wrong or contradictory settings: one line, exit code 2
    ├── CharacterNotFound       .name and .known: nobody of that name lives here
    ├── StorageUnavailable      Redis cannot be reached, or refuses to write
    └── DeliveryFailed          the platform did not take our message; .sent tells what is known

Anything else is a bug and shows its traceback.
"""

from collections.abc import Iterable


class BotError(Exception):
    """The root: one line for a person, with what to do next."""


class ConfigurationError(BotError):
    """Settings that cannot work."""


class CharacterNotFound(BotError):
    """A character was asked for whom we do not have."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        super().__init__(
            f"no character `{name}`; there are: {', '.join(f'`{k}`' for k in self.known) or 'none'}"
        )


class StorageUnavailable(BotError):
    """The memory cannot be reached. Nothing was taken: the sender should say it again."""


class DeliveryFailed(BotError):
    """A platform did not confirm a message.

    ``sent`` is False when it certainly was not shown (nothing was written, or it was refused), so sending
    again is safe; None when nobody can know (a time-out after writing), so sending again may show it twice.
    ``gone`` says that it never will be taken (the channel is deleted, the person blocked us).
    """

    def __init__(self, platform: str, reason: str, *, sent: bool | None = False, gone: bool = False) -> None:
        self.platform = platform
        self.reason = reason
        self.sent = sent
        self.gone = gone
        super().__init__(f"{platform} did not take the message: {reason}")
