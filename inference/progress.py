"""How long work is shown to the person who waits: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY = 10.0  # seconds between two lines where nobody can see a bar move


class Advance(Protocol):
    """Tells how much is done, and what is being done now."""

    def __call__(self, done: float, now: str = "") -> None: ...


def console() -> "Console":
    """Standard error: standard output belongs to answers."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One line for the person who started the command."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def progress(what: str, total: float | None) -> Iterator[Advance]:
    """Shows `what` going from 0 to `total`; without a total, that it is alive and for how long."""
    screen = console()
    if screen.is_terminal:
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, TaskProgressColumn(show_speed=False), console=screen, transient=True) as bar:
            task = bar.add_task(what, total=total)

            def move(done: float, now: str = "") -> None:
                bar.update(task, completed=done, description=f"{what}: {now}" if now else what)

            yield move
        return

    say(f"{what} …")
    last = time.monotonic()

    def line(done: float, now: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            share = f" {done / total:.0%}" if total else ""
            say(f"{what} …{share}{' ' + now if now else ''}")

    yield line
