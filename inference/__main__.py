"""`python -m inference`: prepare a base model, serve it with the characters' adapters, ask a question."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from inference import release_command
from inference.errors import CharacterError, InferenceError, InferenceRejected
from inference.progress import say
from inference.settings import InferenceSettings, WrongSetting

_ABOUT = """\
Serves the characters: a base model, and a LoRA adapter for each version of each character, under OpenAI's
routes on 127.0.0.1. By vLLM, or by llama.cpp where vLLM does not run (Windows, macOS)."""

_EXAMPLES = """\
examples:
  python -m inference prepare                 get the base model and make it ready (once)
  python -m inference serve                   serve it with every adapter in characters/*/adapters/
  python -m inference ask maeve "Who are you?"
  python -m inference list                    characters, their versions, and what is refused and why
  python -m inference adapters --help         publish, try, promote and roll back versions
  CHATNVL_MODEL=Qwen/Qwen3-8B python -m inference serve     another base; a folder works too

An adapter version is a folder characters/<id>/adapters/<base>/v<n>/ and is served as <id>.v<n>. Until the
first is published, put a new one there while the server runs, and it is loaded and answers. Settings are
environment variables or lines of .env; .env.example explains them."""


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(
        prog="python -m inference", description=_ABOUT, epilog=_EXAMPLES, formatter_class=raw
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser(
        "prepare",
        help="get the base model and make it ready",
        description="Gets the base model, checks it, and makes it ready. Takes no time the second time.",
    )
    prepare.add_argument(
        "model",
        nargs="?",
        help="`qwen2.5-coder-0.5b`, `smollm2-135m`, a folder or a hub name; without it: CHATNVL_MODEL",
    )

    serve = commands.add_parser(
        "serve",
        help="serve the characters until stopped",
        description="Starts the model server, waits until it is ready, starts it again when it dies, and "
        "loads adapters that are added meanwhile. Ctrl-C lets running replies end (up to 30 s). "
        "The server's log is data/logs/vllm.log.",
    )
    serve.add_argument(
        "--run",
        metavar="COMMAND",
        help="start this command when the server is ready, and stop the server when the command ends",
    )

    ask = commands.add_parser(
        "ask",
        help="ask a character one question",
        description="Asks a character one question, without memory, and prints the answer as it is written. "
        "The server must run: `python -m inference serve`, or CHATNVL_INFERENCE__BASE_URL names one.",
    )
    ask.add_argument("character", help="the name of her folder, such as `maeve`")
    ask.add_argument("text", help="what to say to her")
    ask.add_argument(
        "--greedy", action="store_true", help="the most probable words: the same answer every time"
    )

    release_command.add_parser(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed while running, 2 wrong settings or arguments."""
    args = parser().parse_args(arguments)
    try:
        match args.command:
            case "prepare":
                from inference.models import prepare

                base = prepare(_settings(args.model))
                say(f"`{base.id}` is ready in {base.folder}")
                return 0
            case "serve":
                from inference.serve import serve

                return serve(_settings(), args.run)
            case "ask":
                from inference.ask import ask

                return ask(args.character, args.text, greedy=args.greedy)
            case _:
                return release_command.run(args, _settings())
    except (ValidationError, SettingsError) as error:
        say(_one_line(error))
        return 2
    except (WrongSetting, CharacterError) as error:
        say(str(error))
        return 2
    except InferenceRejected as error:
        say(str(error))
        return 2 if error.status == 404 else 1
    except InferenceError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _settings(model: str | None = None) -> InferenceSettings:
    return InferenceSettings(model=model) if model else InferenceSettings()


def _one_line(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    first = error.errors()[0]
    name = "CHATNVL_" + "__".join(str(part) for part in first["loc"]).upper()
    return f"`{name}` is {first['input']!r}: {first['msg']}"


if __name__ == "__main__":
    sys.exit(main())
