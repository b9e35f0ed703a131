"""Other people's benchmarks of role-playing: their test files in, the files that they score out.

CharacterEval (arXiv 2401.01275, https://github.com/morecry/CharacterEval), Chinese; its files as its own
scripts `get_response.py`, `transform_format.py` and `run_char_rm.py` read and write them:

- `data/test_data.jsonl`: in spite of its name one JSON array. `id` (int; the key in id2metric), `role`,
  `novel_name`, `context`: a line a turn, `speaker：words`, oldest first, with the fullwidth colon; the role
  answers the last line, which is somebody else's. Several people may speak.
- `data/character_profiles.json`: `{role: {field: text or list}}`, such as `{"姓名": …, "经典台词": [ … ]}`.
- `data/id2metric.jsonl`: one JSON object, `{"<id>": [["Accuracy", "知识准确率"], …]}`: by what a row is
  scored. Rows whose id is not in it are scored by nothing.
- `results/generation.jsonl`, out: one JSON array of the test rows, each with `model_output`. Of that they
  keep the first line, and a row whose output is `ERROR` is left out.
- `results/generation_trans.jsonl`, out with `metrics`: one JSON array with each row once for each of its
  metrics, with `metric_en` and `metric_zh`: what CharacterRM, their reward model, scores from 1 to 5.

RoleBench (arXiv 2310.00746, https://huggingface.co/datasets/ZenMoore/RoleBench), English and Chinese:

- `rolebench-eng/{instruction,role}-generalization/{general,role_specific}/test.jsonl` and
  `rolebench-zh/{general,role_specific}/test.jsonl`: JSON lines. `role`, `question` (often with a space before
  it), `generated`: list of right answers, up to five in `general` and one in `role_specific`; `type`: list
  such as `["script_based"]`, in `role_specific` alone.
- `profiles-{eng,zh}/desc.json`: `{role: description}`.
- `rolegpt_baseline.jsonl`, the form of the file that is written: `role`, `question`, `generated` with the one
  answer of the system.

Their score is ROUGE-L against `generated`; "CUS" in the paper is that of `general`, "SPE" of `role_specific`.
No script of theirs is public. OpenCompass, which their page names, takes the first of `generated`; both that
and the best of them are counted here. English words as `rouge_score` splits them, Chinese ones as jieba does.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dataset_builder.asking.cost import Tokens
from dataset_builder.asking.journal import Answered, Journal
from dataset_builder.errors import DatasetError
from dataset_builder.languages import guess_all
from dataset_builder.schema import Message
from inference.base import Base
from inference.characters import Card, Character, ChatNVL, Extensions, Sampling, load_character
from inference.errors import CharacterError
from inference.progress import progress, say
from inference.prompt import Exchange, Said, messages
from training.config import Count, ModelConfig, Names
from training.data import render
from training.errors import ConfigError, TrainingError
from training.files import write_whole
from training.metrics import Figure, mean, rouge_l, words
from training.model import check_parent, clear_errors, find_base, load_model, load_tokenizer
from training.version import served_as
from training.voice import Voice

DEFAULT = Path("data/training/benchmarks")
ANSWERS = "answers.jsonl"  # the journal: what was answered so far
GENERATION = "generation.jsonl"
TRANSFORMED = "generation_trans.jsonl"
SCORES = "scores.json"
AT_ONCE = 64  # conversations between two entries of the journal
COLON = "："

Metrics = Mapping[str, Sequence[tuple[str, str]]]  # of an id: names in English and Chinese


class BenchmarkConfig(ModelConfig):
    """Which test is taken, and by whom."""

    character: Path | None = None  # type: ignore[assignment]
    """One of ours who is a role of the test: her card stands there in place of the profile. Unset: nobody."""
    role: str = ""
    """What the test calls her; unset: her card's name."""
    version: Path | None = None
    """The adapter's version folder; unset: the base model alone."""
    kind: Literal["charactereval", "rolebench"]
    """Whose test it is."""
    test: Path
    """CharacterEval's `test_data.jsonl`, or a `test.jsonl` of RoleBench."""
    profiles: Path | None = None
    """Who the roles are: CharacterEval's `character_profiles.json`, or RoleBench's `desc.json`."""
    metrics: Path | None = None
    """CharacterEval's `id2metric.jsonl`; with it `generation_trans.jsonl` is written too."""
    roles: Names = ()
    """Only these roles; unset: all."""
    limit: Count | None = None
    """So many rows, drawn by `seed`; unset: all."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 512
    """Of an answer. They are drawn greedily."""
    out: Path | None = None
    """The folder to write; unset: `data/training/benchmarks/<kind>-<version or base>`. It resumes."""


class _Theirs(BaseModel):
    """A row of theirs: other fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    role: Annotated[str, Field(min_length=1, max_length=80)]


class CharacterEvalRow(_Theirs):
    id: int | str
    context: Annotated[str, Field(min_length=1)]


class RoleBenchRow(_Theirs):
    question: Annotated[str, Field(min_length=1)]
    generated: Annotated[list[str], Field(min_length=1)]


Row = TypeVar("Row", CharacterEvalRow, RoleBenchRow)


@dataclass(frozen=True, slots=True)
class Item:
    """A row of theirs as a conversation of ours; `place` is what an error calls the row."""

    row: dict[str, Any]
    place: str
    conversation: tuple[Message, ...]

    @property
    def role(self) -> str:
        role: str = self.row["role"]
        return role


def benchmark(config: BenchmarkConfig) -> Path:
    """Answers a test and writes what its scoring reads; of RoleBench also the scores.

    Returns the folder. What is answered is kept at once: the same command goes on where it was stopped.
    Raises `TrainingError`.
    """
    items = read_items(config)
    finish = _charactereval_files if config.kind == "charactereval" else _rolebench_files
    metrics = _read_metrics(config.metrics, items) if config.metrics else {}
    if config.kind == "rolebench":
        _need_words(items)
    base = find_base(config)
    adapter = check_parent(config.version, base).sha256 if config.version else ""
    name = served_as(config.version) if config.version else base.id
    folder = config.out or DEFAULT / f"{config.kind}-{name}"
    keys = [_key(item, config, base, adapter) for item in items]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Journal(folder / ANSWERS) as journal:
            waiting = {key: item for key, item in zip(keys, items, strict=True) if key not in journal}
            if waiting:
                _ask(waiting, journal, config, base)
            answered = [journal.get(key) for key in keys]
    except (DatasetError, OSError) as error:
        raise TrainingError(str(error)) from error
    replies = [each.texts[-1] for each in answered if each is not None]
    for file, text in finish(items, replies, metrics):
        _write(folder / file, text)
    say(f"{name}: {len(items):,} answers in `{folder}`")
    return folder


# --- in


def read_items(config: BenchmarkConfig) -> list[Item]:
    """The rows of the test that are to be answered, in its order. Raises `TrainingError`."""
    profiles = _read_profiles(config.profiles) if config.profiles else {}
    read = _charactereval_rows if config.kind == "charactereval" else _rolebench_rows
    rows = list(read(config.test))
    if not rows:
        raise TrainingError(f"`{config.test}` has no rows")
    known = sorted({row.role for _, row in rows})
    if strangers := [role for role in config.roles if role not in known]:
        raise ConfigError(f"`roles`: `{config.test}` has no `{strangers[0]}`; there are {_some(known)}")
    ours = _our_character(config, known)
    rows = [(place, row) for place, row in rows if not config.roles or row.role in config.roles]
    if config.limit is not None and config.limit < len(rows):
        drawn = random.Random(config.seed).sample(range(len(rows)), config.limit)
        rows = [rows[at] for at in sorted(drawn)]
    cast = {role: _as_character(role, config, profiles, ours) for role in {row.role: None for _, row in rows}}
    items = []
    for place, row in rows:
        try:
            conversation = _conversation(row, cast[row.role])
        except ValueError as error:
            raise TrainingError(f"{place}: {error}") from error
        items.append(Item(row.model_dump(), place, tuple(conversation)))
    return items


def _charactereval_rows(path: Path) -> Iterator[tuple[str, CharacterEvalRow]]:
    """The array that theirs is, or JSON lines as the name promises."""
    text = _read(path)
    if not text.lstrip().startswith("["):
        yield from _json_lines(CharacterEvalRow, path, text)
        return
    try:
        rows: Any = json.loads(text)
    except ValueError as error:
        raise TrainingError(f"`{path}` is no JSON: {error}") from error
    for number, raw in enumerate(rows, 1):
        place = f"`{path}`, row {number}"
        yield place, _checked(CharacterEvalRow, raw, place)


def _rolebench_rows(path: Path) -> Iterator[tuple[str, RoleBenchRow]]:
    return _json_lines(RoleBenchRow, path, _read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"`{path}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"`{path}` is no UTF-8") from error


def _json_lines(kind: type[Row], path: Path, text: str) -> Iterator[tuple[str, Row]]:
    # Not by `splitlines`: a text in it may hold other line ends than "\n".
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"`{path}`, line {number}"
            try:
                raw = json.loads(line)
            except ValueError as error:
                raise TrainingError(f"{place}: it is no JSON: {error}") from error
            yield place, _checked(kind, raw, place)


def _checked(kind: type[Row], raw: Any, place: str) -> Row:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise TrainingError(f"{place}: `{where}`: {first['msg']}") from error


def _read_profiles(path: Path) -> dict[str, Any]:
    try:
        profiles: Any = json.loads(_read(path))
    except ValueError as error:
        raise TrainingError(f"`{path}` is no JSON: {error}") from error
    if not isinstance(profiles, dict):
        raise TrainingError(f"`{path}` is no list of roles and who they are")
    return profiles


def _our_character(config: BenchmarkConfig, known: Sequence[str]) -> tuple[str, Character] | None:
    if config.character is None:
        return None
    try:
        character = load_character(config.character)
    except CharacterError as error:
        raise TrainingError(str(error)) from error
    role = config.role or character.card.name
    if role not in known:
        raise ConfigError(
            f"`role`: `{config.test}` has no `{role}` for `{character.id}` to be; there are {_some(known)}"
        )
    return role, character


def _as_character(
    role: str, config: BenchmarkConfig, profiles: Mapping[str, Any], ours: tuple[str, Character] | None
) -> Character:
    """Who a role is: one of ours, or their profile as a card's description."""
    if ours is not None and ours[0] == role:
        return ours[1]
    if role not in profiles:
        where = f"`{config.profiles}` does not tell" if config.profiles else "no file in `profiles` tells"
        raise TrainingError(f"{where} who `{role}` is; add the role there, or leave it out by `roles`")
    text = profile_text(profiles[role])
    language = "zh" if guess_all([role, text]).startswith("zh") else "en"
    extensions = Extensions(chatnvl=ChatNVL(language=language))
    card = Card(name=role, description=text, extensions=extensions)
    return Character(id="role", folder=Path(), card=card, card_hash="")


def profile_text(profile: Any) -> str:
    """A profile in words: RoleBench's is a text, CharacterEval's has fields, some of them lists."""
    if isinstance(profile, dict):
        return "\n".join(f"{name}{COLON}{profile_text(value)}" for name, value in profile.items() if value)
    if isinstance(profile, list):
        return " / ".join(profile_text(each) for each in profile)
    return str(profile)


def _conversation(row: Any, character: Character) -> list[Message]:
    if isinstance(row, RoleBenchRow):
        if not row.question.strip():
            raise ValueError("`question` is empty")
        return messages(character, (), [Said(text=row.question)])
    opening, window, last = turns_of(row.context, row.role)
    if opening:
        # A conversation that she opens begins as it does in a chat: her greeting is part of the card.
        character = character.model_copy(
            update={"card": character.card.model_copy(update={"first_mes": opening})}
        )
    return messages(character, window, last)


def turns_of(context: str, role: str) -> tuple[str, list[Exchange], list[Said]]:
    """What the role opened with, the exchanges behind that, and what is to be answered.

    A line without a colon goes on with the line before it. Raises `ValueError`.
    """
    spoken: list[tuple[str, str]] = []
    for line in context.split("\n"):
        speaker, colon, text = line.partition(COLON)
        if colon:
            spoken.append((speaker.strip(), text.strip()))
        elif line.strip():
            if not spoken:
                raise ValueError(f"`context` begins without `speaker{COLON}words`: `{line[:40]}`")
            spoken[-1] = (spoken[-1][0], f"{spoken[-1][1]}\n{line.strip()}")
    opening: list[str] = []
    window: list[Exchange] = []
    said: list[Said] = []
    for speaker, text in spoken:
        if speaker != role:
            said.append(Said(text=text, name=speaker))
        elif said:
            window.append(Exchange(said=tuple(said), reply=text))
            said = []
        elif window:
            window[-1] = window[-1].model_copy(update={"reply": f"{window[-1].reply}\n{text}"})
        else:
            opening.append(text)
    if not said:
        raise ValueError(f"`context` ends with `{role}`'s own words; there is nothing to answer")
    return "\n".join(opening), window, said


# --- the answers


def _key(item: Item, config: BenchmarkConfig, base: Base, adapter: str) -> str:
    """What makes it this answer: who is asked, how, and all that is said."""
    how = [config.max_length, config.max_tokens, config.precision, config.quantise]
    said = [[message.role, message.content] for message in item.conversation]
    return sha256(json.dumps([base.sha256, adapter, how, said]).encode()).hexdigest()


def _ask(waiting: Mapping[str, Item], journal: Journal, config: BenchmarkConfig, base: Base) -> None:
    tokenizer = load_tokenizer(base)
    asked = [(key, _fitting(item, tokenizer, config)) for key, item in waiting.items()]
    # Conversations of one card stand together: it is computed once for all of them.
    asked.sort(key=lambda each: (each[1][0].content, len(each[1]), each[0]))
    sampling = Sampling(temperature=0, top_p=1, repetition_penalty=1, max_tokens=config.max_tokens)
    with ExitStack() as stack:
        stack.enter_context(clear_errors())
        voice = _voice(config, base, tokenizer)
        advance = stack.enter_context(progress(f"answering {config.kind}", len(asked)))
        for first in range(0, len(asked), AT_ONCE):
            part = asked[first : first + AT_ONCE]
            replies = voice.replies([conversation for _, conversation in part], sampling, seed=config.seed)
            for (key, _), reply in zip(part, replies, strict=True):
                journal.add(key, Answered((reply,), "stop", Tokens()))
            advance(first + len(part))


def _voice(config: BenchmarkConfig, base: Base, tokenizer: Any) -> Voice:
    model = load_model(base, config)
    if config.version is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(config.version))
    return Voice(model, tokenizer)


def _fitting(item: Item, tokenizer: Any, config: BenchmarkConfig) -> list[Message]:
    """The conversation without as many of its oldest turns as `max_length` has no room for."""
    conversation, room = list(item.conversation), config.max_length - config.max_tokens
    while (length := len(render(tokenizer, [each.model_dump() for each in conversation], ask=True))) > room:
        if len(conversation) < 4:
            raise TrainingError(
                f"{item.place}: `{item.role}`'s card and the last words have {length:,} tokens; `max_length` "
                f"({config.max_length:,}) without `max_tokens` leaves {max(0, room):,}: raise `max_length`"
            )
        del conversation[1:3]
    return conversation


# --- out


def _read_metrics(path: Path, items: Sequence[Item]) -> Metrics:
    try:
        metrics = TypeAdapter(dict[str, list[tuple[str, str]]]).validate_json(_read(path))
    except ValidationError as error:
        raise TrainingError(f"`{path}` is no list of ids and metrics: {error.errors()[0]['msg']}") from error
    if not any(str(item.row.get("id")) in metrics for item in items):
        raise TrainingError(f"`{path}` has none of the ids of the test")
    return metrics


def transformed(generated: Sequence[Mapping[str, Any]], metrics: Metrics) -> Iterator[dict[str, Any]]:
    """Rows as CharacterRM takes them: the first line of an answer, once for each metric of its id."""
    for row in generated:
        for english, chinese in metrics.get(str(row["id"]), ()):
            first = row["model_output"].split("\n")[0]
            yield {**row, "model_output": first, "metric_en": english, "metric_zh": chinese}


def _charactereval_files(
    items: Sequence[Item], replies: Sequence[str], metrics: Metrics
) -> Iterator[tuple[str, str]]:
    generated = [item.row | {"model_output": reply} for item, reply in zip(items, replies, strict=True)]
    yield GENERATION, json.dumps(generated, ensure_ascii=False, indent=4)
    if metrics:
        rows = list(transformed(generated, metrics))
        yield TRANSFORMED, json.dumps(rows, ensure_ascii=False, indent=4)


def _rolebench_files(items: Sequence[Item], replies: Sequence[str], _: Metrics) -> Iterator[tuple[str, str]]:
    rows = [
        {"role": item.role, "question": item.row["question"], "generated": [reply]}
        for item, reply in zip(items, replies, strict=True)
    ]
    yield GENERATION, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    yield SCORES, json.dumps(rouge(items, replies), ensure_ascii=False, indent=2) + "\n"


def rouge(items: Sequence[Item], replies: Sequence[str]) -> dict[str, Any]:
    """ROUGE-L (F1, in percent) to the first right answer and to the nearest: over all, and by role."""
    first: dict[str, list[float]] = defaultdict(list)
    best: dict[str, list[float]] = defaultdict(list)
    for item, reply in zip(items, replies, strict=True):
        said = split_words(reply)
        found = [rouge_l(said, split_words(right)) for right in item.row["generated"]]
        first[item.role].append(found[0])
        best[item.role].append(max(found))
    return {
        "rougel_first": _percent(first).model_dump(),
        "rougel_best": _percent(best).model_dump(),
        "roles": {
            role: {
                "rougel_first": 100 * sum(values) / len(values),
                "rougel_best": 100 * sum(best[role]) / len(values),
                "n": len(values),
            }
            for role, values in first.items()
        },
    }


def _percent(by_role: Mapping[str, Sequence[float]]) -> Figure:
    return mean([value for values in by_role.values() for value in values], scale=100)


def _need_words(items: Sequence[Item]) -> None:
    """Before hours of answers: Chinese is compared by words, and a package finds them."""
    try:
        for item in items:
            if _HAN.search(item.row["generated"][0]):
                split_words(item.row["generated"][0])
                return
    except ImportError as error:
        raise TrainingError("Chinese answers are compared by words: `pip install jieba`") from error


_HAN = re.compile(r"[\u3400-\u9fff]")


def split_words(text: str) -> list[str]:
    """Words without marks: runs of a-z and 0-9 as `rouge_score` takes them, jieba's words in Chinese."""
    if _HAN.search(text):
        return [word for word in words(text.lower(), "zh") if any(each.isalnum() for each in word)]
    return re.findall(r"[a-z0-9]+", text.lower())


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise TrainingError(f"`{path}` cannot be written: {error.strerror}") from error


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + more
