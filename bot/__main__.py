"""`python -m bot`: let people talk with the characters."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from bot.errors import BotError, ConfigurationError
from bot.settings import BotSettings
from inference.errors import InferenceError

_EPILOG = """
Settings come from the environment and from the file .env (see .env.example). A gateway is on when a setting
of its group is there: CHATNVL_QQ__PORT=8080, CHATNVL_DISCORD__TOKEN=…, CHATNVL_WEB__PORT=8400. With none, the
page is on.

  python -m bot                        serve people until Ctrl-C
  python -m bot --open                 the same, and open the page in the browser
  python -m bot chat maeve             talk here in the terminal
  python -m bot feedback               which replies people liked, and which version said them
  python -m bot feedback --quarantine  votes that are held back until you have looked
  python -m bot trace REPLY            what stands behind a reply, down to what its version learned from
  python -m bot prompt                 the conversations of the last day
  python -m bot prompt CONVERSATION    exactly what would be sent to the model for one of them

Exit codes: 0 done, 1 failed while running, 2 wrong settings or arguments.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="Let people talk with the characters, on the page, QQ and Discord, or here.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser when it is there")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chat = commands.add_parser("chat", help="talk with a character in the terminal")
    chat.add_argument("character", nargs="?", help="her id or name (default: whom you talked with last)")
    feedback = commands.add_parser(
        "feedback", help="list the replies that people voted on, and their versions"
    )
    feedback.add_argument("--last", type=int, default=50, metavar="N", help="how many replies (default: 50)")
    one_of = feedback.add_mutually_exclusive_group()
    one_of.add_argument(
        "--reply", metavar="ID", help="explain each vote on this reply: who, when, how heavy, why"
    )
    one_of.add_argument("--quarantine", action="store_true", help="list the votes that are held back")
    one_of.add_argument("--release", metavar="ID", help="let held-back votes count again")
    trace = commands.add_parser("trace", help="show what stands behind a reply")
    trace.add_argument(
        "reply", metavar="REPLY", help="its id, as `feedback` lists it; with --message, the conversation"
    )
    trace.add_argument("--message", metavar="ID", help="the platform's id of a message that shows the reply")
    trace.add_argument("--json", action="store_true", help="for programs")
    prompt = commands.add_parser("prompt", help="show what would be sent to the model for a conversation")
    prompt.add_argument(
        "conversation", nargs="?", help="as listed without it, e.g. web:page:private:…:zhiwei"
    )
    prompt.add_argument("--say", default="…", metavar="TEXT", help="the message to be answered (default: …)")
    options = parser.parse_args(arguments)
    try:
        settings = _settings()
        _configure_logging(settings, quiet=options.command is not None)
        asyncio.run(_run(options, settings))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (BotError, InferenceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(options: argparse.Namespace, settings: BotSettings) -> None:
    # Imported here: `--help` and a wrong setting need no chat library.
    if options.command == "feedback":
        await _feedback(options, settings)
    elif options.command == "trace":
        from bot.inspection import show_trace

        await show_trace(settings, options.reply, message=options.message, json=options.json)
    elif options.command == "prompt":
        from bot.inspection import show_conversations, show_prompt

        if options.conversation:
            await show_prompt(settings, options.conversation, options.say)
        else:
            await show_conversations(settings)
    else:
        from bot import app

        if options.command == "chat":
            from bot.gateways.terminal import TerminalGateway

            settings = settings.model_copy(update={"messages_per_minute": 1_000_000})  # one's own terminal
            await app.run(settings, gateways=[TerminalGateway(options.character)])
        else:
            await app.run(settings, open_page=options.open)


async def _feedback(options: argparse.Namespace, settings: BotSettings) -> None:
    from bot import ratings

    if options.reply:
        await ratings.explain_votes(settings, options.reply)
    elif options.quarantine:
        ratings.show_quarantine(settings)
    elif options.release:
        await ratings.release_quarantine(settings, options.release)
    else:
        await ratings.show_feedback(settings, options.last)


def _settings() -> BotSettings:
    try:
        return BotSettings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "CHATNVL_" + "__".join(str(part).upper() for part in first["loc"])
        raise ConfigurationError(f"`{name}`: {first['msg']}; see .env.example") from error
    except SettingsError as error:
        raise ConfigurationError(f"a setting cannot be read: {error}; lists are written as JSON") from error


def _configure_logging(settings: BotSettings, *, quiet: bool) -> None:
    logging.basicConfig(
        level=logging.WARNING if quiet else settings.log_level,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for chatty in ("httpx", "httpx2", "httpcore2", "openai", "hypercorn", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("discord.client").setLevel(logging.ERROR)  # it warns at each start that it cannot speak


if __name__ == "__main__":
    sys.exit(main())
