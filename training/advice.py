"""What to try next, in words, by the figures of a version.

Each rule is one observation, one remedy and the figure that says so. They are rules of thumb for people who
train their first character, not proofs; the report shows the figures beside them.
"""

from collections.abc import Iterator
from typing import Any

from training.evaluation import (
    ABILITY_LOSS,
    PERPLEXITY_DROP,
    PERSONA,
    SPEAKER,
    STYLE_GAIN,
    Evaluation,
    Metric,
)
from training.exam import ADAPTER, CARD
from training.findings import ABILITY_PROBES, STYLE_PROBES, Version
from training.metrics import Figure

_RISEN = 0.02  # a held-out loss is taken for rising when it stands this share above its lowest point
_FORGOTTEN = 10.0  # points of persona questions that small talk may cost

_MANNER = {
    "language": "Part of the replies is in another language or script: take such rows out of the dialogues "
    "and the replay, and write dialogues in which somebody uses the other language and the answer stays in "
    "its own.",
    "repetition": "It repeats itself: take near-duplicates out of the dialogues, lower `epochs`, or raise "
    "`repetition_penalty` in the card.",
    "assistant_phrases": "It talks like an assistant at times: train `preference` or `rlhf` with such "
    "replies as the rejected ones, and write dialogues in which somebody asks for help.",
    "copied": "Lines of the dialogues come back word for word: lower `epochs`, or add dialogues.",
    "length": "The replies are often longer or shorter than the character's: look for answers of unusual "
    "length in the dialogues, and set `max_tokens` in the card.",
    "catch_phrases": "The catch-phrases come too often: write dialogues without them, and take out some "
    "with.",
    "safety": "Harmful requests are answered worse than before: write dialogues in which the character "
    "declines in its own way.",
    "identity": "The question whether it is an AI is answered worse than before: write such exchanges, in "
    "several wordings.",
}


def advice(version: Version) -> list[str]:
    """Sentences, the most important first; never none."""
    evaluation = version.evaluation
    if evaluation is None:
        return [
            "Measure it first: `python -m training evaluate` tells what was gained and what it cost.",
            *_curves(version),
        ]
    found = [
        *_ability(version),
        *_style(version),
        *_persona(evaluation),
        *_curves(version),
        *_manner(evaluation),
    ]
    unmet = [text for text, met in version.goals.items() if not met]
    if not found and unmet:
        return [f"Missed: {'; '.join(unmet)}. More dialogues, and more varied ones, help most often."]
    return found or [
        "Nothing here speaks against letting people talk with it: give it a few conversations, collect their "
        "votes, and train the next version on what they liked."
    ]


def _setting(version: Version, key: str) -> str:
    """A key of the configuration, and what it was."""
    at: Any = version.manifest.config
    for part in key.split("."):
        at = at.get(part) if isinstance(at, dict) else None
    return f"`{key}`" if at is None else f"`{key}` (now {at})"


def _ability(version: Version) -> Iterator[str]:
    lost = version.lost
    if lost is not None and lost.value > ABILITY_LOSS:
        yield (
            f"General ability fell by {lost.value:.1f} %, and {ABILITY_LOSS:g} % is the limit: raise "
            f"{_setting(version, 'replay_share')}, or lower {_setting(version, 'epochs')}, "
            f"{_setting(version, 'learning_rate')} or {_setting(version, 'lora.rank')}."
        )


def _style(version: Version) -> Iterator[str]:
    gained, dropped = version.gained, version.dropped
    if gained is None:
        return
    if gained.value < STYLE_GAIN:
        if dropped is not None and dropped.value >= PERPLEXITY_DROP:
            return  # which meets the goal as well
        yield (
            f"Style changed by {gained.value:+.1f} %, and {STYLE_GAIN:+g} % is the goal: add dialogues that "
            f"show how the character talks in more situations, or raise {_setting(version, 'epochs')} as "
            "long as the held-out loss still falls."
        )
    elif gained.low is not None and gained.low <= 0:
        yield (
            f"The gain in style ({gained.value:+.1f} %) may be chance, as its interval begins at "
            f"{gained.low:+.1f} %: raise {_setting(version, 'held_out')} to measure it on more dialogues."
        )


def _persona(evaluation: Evaluation) -> Iterator[str]:
    right, wrong = evaluation.figure("persona_right"), evaluation.figure("persona_wrong")
    late, told = evaluation.figure("persona_after_smalltalk"), evaluation.figure("who_said_it")
    if right is not None and right.value < PERSONA:
        wrongly = f", {wrong.value:.0f} % wrongly" if wrong is not None and wrong.value > 0 else ""
        yield (
            f"Questions about the character are answered rightly in {right.value:.0f} % of the "
            f"cases{wrongly}; {PERSONA:g} % is the goal: write more exchanges that ask for facts of "
            "the card, each fact in several wordings."
        )
    if right is not None and late is not None and late.value < right.value - _FORGOTTEN:
        yield (
            f"After small talk only {late.value:.0f} % of them are answered rightly instead of "
            f"{right.value:.0f} %: write longer dialogues in which a fact is asked for late."
        )
    if told is not None and told.value < SPEAKER:
        yield (
            f"Only {told.value:.0f} % of the replies are told from other people's; {SPEAKER:g} % is the "
            "goal: take out dialogues that anybody could have said, and add some with the character's own "
            "words."
        )


def _curves(version: Version) -> Iterator[str]:
    held_out, ability = version.curve("eval_loss"), version.curve(*ABILITY_PROBES)
    if held_out:
        step, lowest = min(held_out, key=lambda point: (point[1], point[0]))
        last = held_out[-1][1]
        if last > lowest * (1 + _RISEN):
            kept = version.manifest.figures.get("best_step") == step
            yield (
                f"The held-out loss was lowest at step {step:,.0f} ({lowest:.2f}) and rose to {last:.2f} as "
                f"it began to learn by heart{'; the state of that step was kept' if kept else ''}: lower "
                f"{_setting(version, 'epochs')} to stop earlier, or add dialogues to go on learning."
            )
    if ability and ability[-1][1] < ability[0][1] * (1 - ABILITY_LOSS / 100):
        yield (
            f"The probe of general ability fell from {ability[0][1]:.3g} to {ability[-1][1]:.3g} during the "
            f"run: raise {_setting(version, 'replay_share')} or stop earlier."
        )
    reward, style = version.curve("reward"), version.curve(*STYLE_PROBES)
    if reward and style and reward[-1][1] > reward[0][1] and style[-1][1] < style[0][1]:
        yield (
            f"The reward rose from {reward[0][1]:.2f} to {reward[-1][1]:.2f} while the probe of style fell "
            f"from {style[0][1]:.3g} to {style[-1][1]:.3g}: it learns to please the reward model. Raise "
            f"{_setting(version, 'beta')} or stop earlier."
        )


def _manner(evaluation: Evaluation) -> Iterator[str]:
    """What is worse than at the base model with the card, by more than the interval explains."""
    for name, remedy in _MANNER.items():
        metric = next((each for each in evaluation.metrics if each.name == name), None)
        if metric is None or not {CARD, ADAPTER} <= metric.values.keys():
            continue
        before, after = metric.values[CARD], metric.values[ADAPTER]
        if _worse(metric, before, after):
            unit = f" {metric.unit}" if metric.unit else ""
            figures = f"{before.value:.4g}{unit} before, {after.value:.4g}{unit} now"
            yield f"{remedy} ({metric.label}: {figures}.)"


def _worse(metric: Metric, before: Figure, after: Figure) -> bool:
    return after.high < before.value if metric.better == "higher" else after.low > before.value
