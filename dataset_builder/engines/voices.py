"""Recordings that play while a message is read."""

import re
from collections.abc import Mapping

# Voices are played like any other sound; the folder tells them apart, or a number in the file's name.
_NOISES = frozenset(("se", "sfx", "bgm", "bgs", "env", "effect", "effects", "sound_effect"))
_VOICES = frozenset(("voice", "voices", "vo", "vc", "cv", "chara", "character", "characters", "ボイス"))
_NUMBER = re.compile(r"\d\d")


class Voices:
    """What has been played since the last message. A buffer plays one sound at a time, except that arms of a
    condition play theirs in different plays."""

    def __init__(self, cast: Mapping[str, str]) -> None:
        self._cast = cast
        self._playing: dict[tuple[str, str], str] = {}  # buffer and branch -> file
        self._series: dict[str, tuple[str, int]] = {}  # id -> name of files, next number
        self.numbering = False

    def record(self, file: str, buffer: str, branch: str) -> None:
        if file and "{" not in file:
            self._playing[buffer, branch] = file

    def is_voice(self, file: str) -> bool:
        """Whether a sound is one, by its name."""
        *folders, name = file.lower().split("/")
        if folders and not _NOISES.isdisjoint(folders):
            return False
        if _NUMBER.search(name) is not None:
            return True
        return bool(folders) and (not _VOICES.isdisjoint(folders) or bool(self.whose(file)))

    def whose(self, *files: str) -> str:
        """The character whose id is a folder of one of the files; "" if none is."""
        for file in files:
            for part in file.split("/"):
                if part in self._cast:
                    return self._cast[part]
        return ""

    def number(self, who: str, name: str, first: str) -> None:
        """TyranoScript's `[voconfig]`: each time `who` is named, the next file of a series is played."""
        if who and name:
            self._series[who] = (name, int(first) if first.isdecimal() and len(first) < 9 else 0)

    def named(self, who: str, branch: str) -> None:
        if self.numbering and who in self._series:
            name, number = self._series[who]
            self.record(name.replace("{number}", str(number)), "voconfig", branch)
            self._series[who] = (name, number + 1)

    def take(self) -> tuple[str, ...]:
        """All of them; from here on none."""
        if not self._playing:
            return ()
        taken = tuple(self._playing.values())
        self._playing.clear()
        return taken
