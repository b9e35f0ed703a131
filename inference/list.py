"""`python -m inference list`: the characters, their versions on the base model, and what is refused and
why."""

from rich.console import Console
from rich.table import Table

from inference.adapters import AdapterCheck
from inference.characters import load_characters
from inference.models import prepare
from inference.settings import InferenceSettings


def show(settings: InferenceSettings) -> int:
    """Prints the table; the exit code is 1 if something was refused."""
    characters = load_characters(settings.characters)
    base = prepare(settings, again=False)
    found = AdapterCheck(base, settings.serve.max_rank).scan(settings.characters)
    table = Table("character", "name", "language", "versions", title=f"on `{base.id}` ({base.sha256[:12]}…)")
    for character in characters.values():
        names = [version.name for version in found.good if version.character == character.id]
        table.add_row(
            character.id, character.name, character.language, ", ".join(names) or "none on this base"
        )
    screen = Console(highlight=False)
    screen.print(table)
    for error in found.refused:
        screen.print(f"refused: {error}", markup=False, soft_wrap=True)
    return 1 if found.refused else 0
