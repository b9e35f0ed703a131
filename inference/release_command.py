"""`python -m inference adapters …`: how an owner publishes, tries, promotes and takes back a version."""

import argparse
import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.progress import say
from inference.settings import InferenceSettings, WrongSetting

if TYPE_CHECKING:
    from inference.shelf import Shelf

_ABOUT = """\
Which version of a character answers people. A new version is published (checked, and compared with the one
that answers), tried on a share of the conversations, and promoted or taken back. Servers and bots notice
within seconds; nothing is restarted, and a conversation that goes on keeps its version."""

_EXAMPLES = """\
examples:
  python -m inference adapters list
  python -m inference adapters publish maeve.v3              checked and compared; v2 goes on answering
  python -m inference adapters publish ../from-a-friend/v1   copied as the next free version
  python -m inference adapters canary maeve.v3 --share 0.1   one conversation of ten is answered by it
  python -m inference adapters canary maeve.v3 --share 0.3 --decide    the votes decide by themselves
  python -m inference adapters promote maeve                 what is on trial answers everybody
  python -m inference adapters rollback maeve --reason "too short"
  python -m inference adapters diff maeve.v2 maeve.v3
  python -m inference adapters report maeve.v3 -o report.html

What is on trial is compared by the votes of data/feedback/tally.json. docs/release.md tells more."""


def add_parser(commands: Any) -> None:
    """The command and its own commands, and `list` beside it."""
    raw = argparse.RawDescriptionHelpFormatter
    root = commands.add_parser(
        "adapters",
        help="publish, try, promote and roll back versions",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    actions = root.add_subparsers(dest="action", required=True, metavar="COMMAND")

    about = (
        "Shows the characters and their versions on the base model: which of them answers, how it did in its "
        "evaluation and by people's votes, how a trial stands, and what is refused and why."
    )
    actions.add_parser("list", help="versions, who answers, how they did", description=about)
    short = commands.add_parser("list", help="the same as `adapters list`", description=about)
    short.set_defaults(action="list")
    publish = actions.add_parser(
        "publish",
        help="check a version and compare it with the one that answers",
        description="Checks a version as a server does, and compares its `evaluation.json` with that of the "
        "version that answers: style, questions about her, general ability and safety. A figure whose whole "
        "95 % interval is worse refuses it. People notice nothing until it is tried or promoted. A folder "
        "from elsewhere is copied as the next free version.",
    )
    publish.add_argument("version", help="its name, such as `maeve.v3`, or its folder")
    publish.add_argument(
        "--force", action="store_true", help="in spite of a worse evaluation; it takes a --reason"
    )
    _reason(publish)

    canary = actions.add_parser(
        "canary",
        help="try a version on a share of the conversations",
        description="Begins a trial: the version answers a share of the conversations, which chance chooses "
        "and which stay the same. Again for the same version, it changes the share; a larger one only adds "
        "conversations.",
    )
    canary.add_argument("version", help="a published version, such as `maeve.v3`")
    canary.add_argument(
        "--share", type=_inside, default=0.1, help="of the conversations, above 0 and below 1 (0.1)"
    )
    canary.add_argument(
        "--decide",
        action="store_true",
        help="a running `python -m inference serve` promotes it or takes it back as soon as the votes show "
        "which is liked better, and never with fewer than could show it",
    )
    canary.add_argument(
        "--smallest",
        type=_inside,
        default=0.1,
        metavar="DIFFERENCE",
        help="between the shares of likes that is worth showing; half of it takes four times the votes (0.1)",
    )
    canary.add_argument(
        "--alpha", type=_inside, default=0.05, help="the chance to see a difference that is none (0.05)"
    )
    _reason(canary)

    promote = actions.add_parser(
        "promote",
        help="let a version answer everybody",
        description="Lets a version answer everybody, and ends a trial. The one that answered stays loaded, "
        "for a rollback.",
    )
    promote.add_argument(
        "version",
        nargs="?",
        help="a version, or a character for what is tried of hers; unset: the only trial",
    )
    _reason(promote)

    rollback = actions.add_parser(
        "rollback",
        help="take a version back",
        description="Ends the trial. Without one, the version that answered before answers again.",
    )
    rollback.add_argument(
        "version",
        nargs="?",
        metavar="who",
        help="a character, or the version to take back; unset: the only one",
    )
    _reason(rollback)

    diff = actions.add_parser(
        "diff",
        help="how two versions differ",
        description="Shows what differs between two versions: settings, data, parents, and all figures.",
    )
    diff.add_argument("version", help="such as `maeve.v2`")
    diff.add_argument("other", help="such as `maeve.v3`")

    report = actions.add_parser(
        "report",
        help="all about a version as one HTML file",
        description="Writes one file that needs nothing else: where the version comes from, its evaluation, "
        "the votes over time by version, the reward model behind it, and the releases.",
    )
    report.add_argument("version", help="such as `maeve.v3`")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="(report.html)")
    report.add_argument("--language", choices=("zh", "en"), default="en", help="of the report (en)")


def run(args: argparse.Namespace, settings: InferenceSettings) -> int:
    """Does what is asked; the exit code. Raises `InferenceError`."""
    from inference.models import prepare
    from inference.shelf import Shelf

    shelf = Shelf(settings.characters, prepare(settings, again=False), settings.serve.max_rank)
    actions: dict[str, Callable[..., int]] = {
        "list": show_list,
        "publish": _publish,
        "canary": _canary,
        "promote": _promote,
        "rollback": _roll_back,
        "diff": _diff,
        "report": _report,
    }
    return actions[args.action](args, settings, shelf)


def show_list(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    """The table of versions."""
    from inference.characters import load_characters
    from inference.release_shown import show_versions
    from inference.trial import read_tally

    return show_versions(shelf, load_characters(settings.characters), read_tally(settings.data))


def _publish(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    from inference.publish import NotGoodEnough, publish
    from inference.release_shown import show_figures
    from inference.versions import read_evaluation

    if args.force and not args.reason:
        raise WrongSetting("`--force` takes a `--reason`, which stays written in the history")
    try:
        done = publish(shelf, args.version, by=_who(), reason=args.reason, force=args.force)
    except NotGoodEnough as error:
        if error.stable is not None:
            evaluations = read_evaluation(error.source), read_evaluation(shelf.folder(error.stable))
            show_figures(*evaluations, (args.version, error.stable))
        for line in error.why:
            say(f"refused: {line}")
        say("nothing was changed; `--force --reason TEXT` publishes it all the same")
        return 1
    name, stable = done.version.name, done.release.stable
    for line in done.overruled:
        say(f"in spite of: {line}")
    if stable == name:
        say(f"`{name}` is published, and answers: there is no other")
        return 0
    say(f"`{name}` is published in {done.version.folder}; `{stable}` goes on answering")
    say(f"next: `python -m inference adapters canary {name}` or `… promote {name}`")
    return 0


def _canary(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    from inference.release import Canary
    from inference.trial import compared, read_tally

    shelf.folder(args.version)  # says what is wrong with a name
    canary = Canary(
        version=args.version,
        share=args.share,
        since=time.time(),
        decides=args.decide,
        smallest=args.smallest,
        alpha=args.alpha,
    )
    release = shelf.try_out(canary, by=_who(), reason=args.reason)
    share = f"{100 * args.share:.3g} %"
    say(f"`{args.version}` answers {share} of the conversations, `{release.stable}` the others")
    trial = compared(release, read_tally(settings.data))
    assert trial is not None
    say(trial.reason())
    if args.decide:
        say("`python -m inference serve`, while it runs, promotes it or takes it back by itself")
    else:
        say("`python -m inference adapters list` tells how it stands; `promote` or `rollback` ends it")
    return 0


def _promote(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    from inference.characters import parse_served_name
    from inference.trial import compared, read_tally

    name = args.version
    if name is None or parse_served_name(name) is None:
        name = shelf.on_trial(name)
    before = shelf.release(name.rpartition(".")[0])
    release = shelf.promote(name, by=_who(), reason=args.reason)
    if before is not None and before.canary is not None and before.canary.version == name:
        trial = compared(before, read_tally(settings.data))
        assert trial is not None
        say(trial.reason())
    say(f"`{name}` answers everybody; `{release.previous}` stays for a rollback")
    return 0


def _roll_back(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    release = shelf.roll_back(args.version, by=_who(), reason=args.reason)
    say(f"`{release.history[-1].version}` is taken back; `{release.stable}` answers everybody")
    return 0


def _diff(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    from inference.release_shown import show_difference

    return show_difference(shelf, args.version, args.other)


def _report(args: argparse.Namespace, settings: InferenceSettings, shelf: "Shelf") -> int:
    from inference.release_report import write_report
    from inference.trial import read_tally

    write_report(shelf, args.version, read_tally(settings.data), args.output, args.language)
    say(f"{args.output} is written")
    return 0


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="stays written in the history")


def _inside(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no number above 0 and below 1")
    return value


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # nobody the system knows
        return ""
