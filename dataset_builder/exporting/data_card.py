"""The card of a data set: `README.md` with the front matter of Hugging Face's hub, its tables and pictures.

https://huggingface.co/docs/hub/datasets-cards tells the front matter; `configs` there makes
`datasets.load_dataset(folder, "messages")` work without a script, on the hub and on a disk.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.markdown import plain, ranking, table
from dataset_builder.exporting.plots import length_chart, speaker_chart
from dataset_builder.exporting.splits import Split
from dataset_builder.languages import tokens
from inference.characters import Character

CHARTS = ("plots/speakers.svg", "plots/lengths.svg", "plots/turns.svg")
_LONG = 10  # letters of an answer that is not the same as another by chance
_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# Name of a configuration on the hub -> format, files. `datasets` reads all configurations of a folder with
# one reader, so Parquet is one of them only when it stands alone.
_CONFIGS = {
    "messages": ("trl", "trl/messages/{}.jsonl"),
    "prompt_completion": ("trl", "trl/prompt_completion/{}.jsonl"),
    "sharegpt": ("sharegpt", "sharegpt/{}.jsonl"),
    "openai": ("openai", "openai/{}.jsonl"),
    "llamafactory": ("llamafactory", "llamafactory/{}.jsonl"),
}
_ALONE = {"parquet": ("parquet", "parquet/{}.parquet")}


@dataclass(frozen=True)
class Contents:
    """What a data set holds, and what is told about it. Splits without rows are not in `split`."""

    name: str
    character: Character
    split: Mapping[Split, Sequence[Row]]
    formats: Sequence[str]
    left_out: dict[str, int]  # reason -> rows
    warnings: tuple[str, ...]
    near_duplicate: float
    licence: str = ""
    count_tokens: Callable[[str], int] | None = None  # None: about, by the letters
    plots: bool = True
    losses: Mapping[str, Any] | None = None
    filtered: Mapping[str, Any] | None = None


def data_card(contents: Contents) -> str:
    """The Markdown."""
    parts = [
        _front_matter(contents),
        _introduction(contents),
        _counts(contents),
        _lengths(contents),
        _who_speaks(contents),
        _left_out(contents),
        _how_to_load(contents),
        _licence(contents),
        _limits(contents),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def draw(contents: Contents) -> dict[str, bytes]:
    """The pictures, by their names in the folder. Raises `DatasetError`."""
    by_language: dict[str, list[Row]] = {}
    for row in _own(contents):
        by_language.setdefault(row.language or "unknown", []).append(row)
    languages = sorted(by_language)
    drawn = [io.BytesIO() for _ in CHARTS]
    speaker_chart(_speakers(contents), drawn[0], unit="utterances in front of her answers")
    letters = {language: [len(row.text) for row in by_language[language]] for language in languages}
    length_chart(letters, drawn[1], unit="letters a dialogue")
    turns = {language: [len(row.chat) // 2 for row in by_language[language]] for language in languages}
    length_chart(turns, drawn[2], unit="answers a dialogue")
    return {name: picture.getvalue() for name, picture in zip(CHARTS, drawn, strict=True)}


def _front_matter(contents: Contents) -> str:
    licence = contents.licence if _LICENCE_ID.fullmatch(contents.licence) else "other"
    rows = sum(map(len, contents.split.values()))
    languages = {row.language.partition("-")[0].casefold() for row in _own(contents)}
    lines = [f"pretty_name: {_quoted(contents.name)}", f"license: {licence}"]
    if spoken := sorted(each for each in languages if re.fullmatch("[a-z]{2,3}", each)):
        lines += ["language:", *(f"- {language}" for language in spoken)]
    lines += ["task_categories:", "- text-generation", "tags:", "- visual-novel", "- role-play", "- chatnvl"]
    lines += ["size_categories:", f"- {next((name for most, name in _SIZES if rows < most), 'n>1M')}"]
    configs = _ALONE if set(contents.formats) == {"parquet"} else _CONFIGS
    wanted = [(name, place) for name, (format, place) in configs.items() if format in contents.formats]
    lines.append("configs:")
    for at, (name, place) in enumerate(wanted):
        lines += [f"- config_name: {name}", *(["  default: true"] if at == 0 else []), "  data_files:"]
        for split in contents.split:
            lines += [f"  - split: {split}", f"    path: {place.format(split)}"]
    return "\n".join(["---", *lines, "---"])


def _introduction(contents: Contents) -> str:
    works = sorted({row.work for row in _own(contents) if row.work})
    source = f" from {', '.join(map(plain, works))}" if works else ""
    return f"""# {plain(contents.name)}

Dialogues of **{plain(contents.character.name)}**{source}, for supervised fine-tuning. A row is a dialogue:
the system prompt of her card, then what others said to her and what she answered. Every `assistant` message
is hers; what others say, narration and a player's choices are context and stand in `user` messages.
Prompts are written by the program that serves her, so training sees what serving will send."""


def _counts(contents: Contents) -> str:
    rows = []
    for split, found in contents.split.items():
        groups: dict[str, list[Row]] = {}
        for row in found:
            kind = "replay" if row.source == "replay" else row.language or "unknown"
            groups.setdefault(kind, []).append(row)
        for name, alike in sorted(groups.items()):
            scenes = {row.place for row in alike if row.source == "dialogue"}
            answers = [each.content for row in alike for each in row.chat if each.role == "assistant"]
            letters = sum(map(len, answers))
            rows.append((split, name, len(alike), len(scenes), len(answers), letters))
    head = ("split", "language", "rows", "scenes", "answers", "letters answered")
    return f"""## Rows

{table(head, rows)}

Scenes are split by a hash of their names, whole scenes only; scenes that nearly say the same, and scenes of
one route where routes are known, stay together. {_repeated(contents)}"""


def _repeated(contents: Contents) -> str:
    """How much of what is held out can be known from training: short answers are the same by chance."""
    trained = {answer for row in contents.split.get("train", ()) for answer in _long_answers(row)}
    held_out = [
        answer
        for split, rows in contents.split.items()
        for row in rows
        for answer in _long_answers(row)
        if split != "train"
    ]
    known = sum(answer in trained for answer in held_out)
    return (
        f"Of {len(held_out):,} held-out answers with {_LONG} letters or more, {known:,} also stand word for "
        "word in training."
    )


def _long_answers(row: Row) -> Iterator[str]:
    return (each.content for each in row.chat if each.role == "assistant" and len(each.content) >= _LONG)


def _lengths(contents: Contents) -> str:
    own = _own(contents)
    measured = {
        "answers a dialogue": [len(row.chat) // 2 for row in own],
        "letters a dialogue": [len(row.text) for row in own],
        "letters an answer": [len(row.chat[at].content) for row in own for at in range(1, len(row.chat), 2)],
        "letters of the system prompt": [len(row.system) for row in own],
    }
    count, about = (contents.count_tokens, "") if contents.count_tokens else (tokens, "about: ")
    systems = {system: count(system) for system in {row.system for row in own}}
    measured[f"{about}tokens a row"] = [
        systems[row.system] + sum(count(each.content) for each in row.chat) for row in own
    ]
    rows = [(name, *_spread(values)) for name, values in measured.items()]
    pictures = "\n\n![letters a dialogue](plots/lengths.svg)\n\n![answers a dialogue](plots/turns.svg)"
    found = table(("", "least", "median", "95 %", "most"), rows)
    return f"## Lengths\n\n{found}{pictures if contents.plots else ''}"


def _spread(values: Sequence[int]) -> tuple[int, ...]:
    """The least, the median, what 95 % do not exceed, the most."""
    ordered = sorted(values)
    return tuple(ordered[round(share * (len(ordered) - 1))] for share in (0, 0.5, 0.95, 1))


def _who_speaks(contents: Contents) -> str:
    counts = _speakers(contents)
    if not counts:
        return ""
    picture = "\n\n![who speaks with her](plots/speakers.svg)" if contents.plots else ""
    return f"## Speakers\n\n{ranking('who speaks with her', 'utterances', counts)}{picture}"


def _left_out(contents: Contents) -> str:
    parts = [
        "## What was left out",
        "Of the rows: "
        + (", ".join(f"{count:,} {reason}" for reason, count in contents.left_out.items()) or "nothing")
        + f". Dialogues are nearly the same from a similarity of {contents.near_duplicate:g} on (Jaccard, "
        "five letters in a row; the longer one is kept).",
    ]
    for title, figures in (("Of the scripts", contents.losses), ("By the filter", contents.filtered)):
        if figures:
            parts.append(f"### {title}\n\n{_figures(figures)}")
    return "\n\n".join(parts)


def _figures(figures: Mapping[str, Any], within: str = "") -> str:
    """What is a number as a list, what maps to numbers as a table, of lists their length."""
    lines, tables = [], []
    for name, value in figures.items():
        if isinstance(value, Mapping) and all(isinstance(each, int | float) for each in value.values()):
            if value:
                tables.append(ranking(within + name, "", {str(key): each for key, each in value.items()}))
        elif isinstance(value, Mapping):
            tables.append(_figures(value, f"{within}{name}, "))
        elif isinstance(value, list | tuple):
            lines.append(f"- {plain(within + name)}: {len(value):,}")
        elif value is not None:
            shown = f"{value:,}" if isinstance(value, int) else plain(str(value))
            lines.append(f"- {plain(within + name)}: {shown}")
    return "\n\n".join(filter(None, ["\n".join(lines), *tables]))


def _how_to_load(contents: Contents) -> str:
    name = contents.name
    parts = ["## Load it", "`FOLDER` is where this card lies."]
    if "trl" in contents.formats:
        parts.append(f"""**TRL.** All of her answers in a dialogue are trained, and nothing else:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("FOLDER", "messages")
config = SFTConfig(output_dir="{name}", assistant_only_loss=True, max_length=None)
trainer = SFTTrainer("BASE", args=config, train_dataset=data["train"])
```

The chat template needs `{{% generation %}}` around what an assistant says, the ending token too; TRL brings
such templates for the usual models. Where there is none, `load_dataset("FOLDER", "prompt_completion")` trains
the last answer of each dialogue with any template.""")
    if "llamafactory" in contents.formats:
        evaluated = f"\neval_dataset: {name}_validation" if "validation" in contents.split else ""
        parts.append(f"""**LLaMA-Factory.** In its YAML:

```yaml
dataset_dir: FOLDER/llamafactory
dataset: {name}_train{evaluated}
mask_history: false
```

It trains every answer of a dialogue unless `mask_history: true`, which leaves the last one. Here all answers
are hers, so all may be trained. Do not use it so with rows where others answer in the history.""")
    if "openai" in contents.formats:
        parts.append(
            "**OpenAI.** Each file of `openai/` can be uploaded for fine-tuning as it is: `train` to train, "
            "`validation` to watch."
        )
    if "sharegpt" in contents.formats:
        parts.append(
            "**Others.** `sharegpt/` has `conversations` of `from` and `value`, as Axolotl and Unsloth read."
        )
    return "\n\n".join(parts)


def _licence(contents: Contents) -> str:
    works = Counter(row.work for row in _own(contents) if row.work)
    stated = plain(contents.licence) or (
        "None is stated. The texts belong to whoever made the works they are from; keep this folder to "
        "yourself."
    )
    sources = ranking("work", "rows", works) if works else ""
    replayed = sum(row.source == "replay" for rows in contents.split.values() for row in rows)
    note = f"The {replayed:,} replay rows are of their own source and licence." if replayed else ""
    return "\n\n".join(filter(None, ["## Licence and sources", stated, sources, note]))


def _limits(contents: Contents) -> str:
    limits = [
        *contents.warnings,
        "Names of speakers are as in the original, in translated rows too.",
        "Duplicates are told by letters: a scene that is retold in other words is not noticed.",
        "What was said to her is another character's or narration, so it is longer and more literary than "
        "what people write in a chat.",
    ]
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _own(contents: Contents) -> list[Row]:
    """All rows but those of replay."""
    return [row for rows in contents.split.values() for row in rows if row.source == "dialogue"]


def _speakers(contents: Contents) -> Counter[str]:
    """Utterances by speaker, each once, in however many languages its dialogue stands."""
    once = {row.dialogue: row.speakers for row in _own(contents)}
    return Counter(name for names in once.values() for name in names)


def _quoted(text: str) -> str:
    """A string as YAML reads it: JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)
