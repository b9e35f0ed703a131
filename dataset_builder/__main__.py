"""`python -m dataset_builder`: from a game's script to a data set that a character can learn from."""

import argparse
import sys
from collections.abc import Callable, Sequence
from textwrap import fill

from dataset_builder import commands
from dataset_builder.errors import DatasetError
from inference.errors import InferenceError

_ABOUT = """\
Turns the scripts of a visual novel that you own into rows that a character can learn from. Every step reads
a file and writes a file, so you can look at what happened, change it, and go on; `build` does all of them
from one configuration and starts again where it stopped."""

_EXAMPLES = """\
examples:
  python -m dataset_builder inspect game/                        which format, who speaks how much
  python -m dataset_builder extract game/ -o scenes.jsonl        every line, with speaker, kind and place
  python -m dataset_builder dialogues scenes.jsonl --character Nene -o nene.jsonl
  python -m dataset_builder filter nene.jsonl --scenes scenes.jsonl -o clean.jsonl
  python -m dataset_builder card scenes.jsonl --character Nene -o characters/nene/card.json
  python -m dataset_builder export clean.jsonl --card characters/nene -o data/nene
  python -m dataset_builder build nene.yaml                      all of it

Archives whose maker locked them are yours to unpack: the commands say which kind it is, and stop."""


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(
        prog="python -m dataset_builder", description=_ABOUT, epilog=_EXAMPLES, formatter_class=raw
    )
    root.set_defaults(run=None)
    adding = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], help: str, more: str = ""
    ) -> argparse.ArgumentParser:
        command = adding.add_parser(name, help=help, description=fill(more or help, 100), formatter_class=raw)
        command.set_defaults(run=run)
        return command

    commands.add_all(add)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed while running, 2 wrong arguments or input that cannot be read."""
    given = parser().parse_args(arguments)
    try:
        code: int = given.run(given)
        return code
    except DatasetError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except InferenceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
