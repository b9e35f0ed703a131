"""Evaluation of a tiny random model: what is asked, what is kept, and what the figures say."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.schema import Message
from inference.base import Base
from inference.characters import Character, Sampling
from inference.manifest import Manifest
from training import ability as abilities
from training import evaluate as stage
from training.ability import Ability, Choice, Exact, Pattern, ability, read_items, read_texts
from training.config import load_config
from training.data import Row, read_rows, split
from training.errors import TrainingError
from training.evaluate import EvaluateConfig, evaluate, evaluate_voice, other_lines, rows_of
from training.exam import Fact, Probe, Settings, _prompts, read_facts
from training.findings import read_version
from training.voice import Score

SMALL = Settings(
    prompts=4, facts=2, wordings=2, questions=2, smalltalk=2, foils=12, languages="en", fast_ability=True
)
FACT = {
    "id": "en-work",
    "fact": "She is a gardener.",
    "question": "What do you do?",
    "paraphrases": ["What is your work?"],
    "right": ["garden", "plants?\\b"],
    "wrong": ["assistant", "I don't work"],
}


# --- without a model -----------------------------------------------------------------------------------


def test_a_fact_is_right_wrong_or_left_open() -> None:
    fact = Fact.model_validate(FACT)
    assert fact.is_right("I keep a Garden, dear.")
    assert fact.is_wrong("I don’t work.")
    assert not fact.is_right("I am an assistant who gardens.")
    assert fact.is_open("Who wants to know?")
    assert not fact.is_open("I am an assistant who gardens.")


def test_a_probe_wants_one_of_the_right_and_none_of_the_wrong() -> None:
    probe = Probe.model_validate({"id": "x", "prompt": "?", "right": ["no"], "wrong": ["first, you"]})
    assert probe.passes("No.")
    assert not probe.passes("No problem. First, you take …")
    assert not probe.passes("Maybe.")
    assert Probe.model_validate({"id": "x", "prompt": "?", "wrong": ["Qwen"]}).passes("I am Nene.")


def test_a_wrong_line_of_persona_is_named(tmp_path: Path) -> None:
    (tmp_path / "persona.jsonl").write_text(
        json.dumps(FACT) + "\n\n" + json.dumps(FACT | {"right": ["("]}) + "\n"
    )
    with pytest.raises(TrainingError, match=r"persona\.jsonl`, line 3: `right\.0`"):
        read_facts(tmp_path)


@pytest.mark.parametrize(
    ("reply", "right"),
    [("14", True), ("The answer is 14.", True), ("Fourteen, love!", True), ("114", False), ("12", False)],
)
def test_an_answer_counts_wherever_it_stands(reply: str, right: bool) -> None:
    item = Exact(id="x", kind="exact", question="8 + 6?", answers=("14", "fourteen"))
    assert item.right(reply) is right


def test_chinese_sets_no_spaces_around_an_answer() -> None:
    item = Exact(id="x", kind="exact", question="八加六?", answers=("14",))
    assert item.right("答案是１４元")
    assert not item.right("答案是114元")


@pytest.mark.parametrize("language", ["zh", "en", "ja"])
def test_the_questions_can_be_answered_and_their_texts_are_there(language: str) -> None:
    items = read_items(language)
    assert {item.kind for item in items[:: abilities.FAST]} == {"choice", "exact", "pattern"}
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.id.startswith(language)
        if isinstance(item, Choice):
            assert 0 <= item.answer < len(item.options)
        elif isinstance(item, Exact):
            assert all(item.right(answer) for answer in item.answers)
        else:
            assert isinstance(item, Pattern)
            assert item.right(item.example)
    assert len(read_texts(language)) >= 8


def test_ability_of_one_language_is_told_from_the_whole() -> None:
    whole = Ability(
        right={"en-exact-1": True, "zh-exact-1": False, "zh-exact-2": True},
        texts={"en-text-1": Score(-2.0, 2), "zh-text-1": Score(-6.0, 2)},
    )
    assert whole.share == pytest.approx(2 / 3)
    assert whole.of("zh").share == 0.5
    assert whole.perplexity == pytest.approx(2.718281828**2)
    assert whole.of("zh").perplexity == pytest.approx(2.718281828**3)


def test_a_version_folder_tells_whose_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "characters" / "nene" / "adapters" / "tiny" / "v1"
    config = load_config(EvaluateConfig, None, [f"version={folder}", "ask.languages=en", "ask.prompts=3"])
    assert config.character_id == "nene"
    assert (config.ask.languages, config.ask.prompts) == (("en",), 3)
    given = load_config(EvaluateConfig, None, [f"version={folder}", f"character={tmp_path}"])
    assert given.character == tmp_path


def test_rows_are_split_as_the_version_split_them(character: Character) -> None:
    config = EvaluateConfig(version=character.adapters / "tiny" / "v1")
    manifest = Manifest(base="tiny", base_sha256="", sha256="", config={"held_out": 0.4, "seed": 5})
    rows = list(read_rows(character.folder / "dialogues.jsonl", character))
    assert rows_of(config, manifest, character) == split(rows, 0.4, 5)
    other = config.model_copy(update={"held_out": 0.2})
    assert rows_of(other, manifest, character) == split(rows, 0.2, 5)
    old = manifest.model_copy(update={"config": {}})
    assert rows_of(config, old, character) == split(rows, 0.1, config.seed)
    unseen = character.folder / "unseen.jsonl"
    unseen.write_text('{"turns": [["hi", "who is there?"]]}\n', encoding="utf-8")
    files = manifest.model_copy(update={"config": {"evaluation": [str(unseen)]}})
    assert rows_of(config, files, character) == (rows, list(read_rows(unseen, character)))


def test_others_are_those_beside_her_who_speak_her_language(character: Character) -> None:
    for name, language in (("mei", "zh"), ("tom", "en")):
        folder = character.folder.parent / name
        folder.mkdir()
        card = {"name": name, "description": "", "extensions": {"chatnvl": {"language": language}}}
        (folder / "card.json").write_text(
            json.dumps({"spec": "chara_card_v3", "spec_version": "3.0", "data": card})
        )
        (folder / "dialogues.jsonl").write_text(json.dumps({"turns": [["hi", f"{name} says hi"]]}) + "\n")
    lines = other_lines((), character)
    assert "tom says hi" in lines
    assert "mei says hi" not in lines
    assert not any("only on Mondays" in line for line in lines)
    assert other_lines((character.folder.parent / "mei" / "dialogues.jsonl",), character) == ["mei says hi"]


def test_a_prompt_is_the_last_turns_before_a_line_without_the_card(character: Character) -> None:
    messages = [Message(role="system", content="the card")]
    for turn in range(8):
        messages += [
            Message(role="user", content=f"said {turn}"),
            Message(role="assistant", content=f"own {turn}"),
        ]
    row = Row(tuple(messages), (2, 16), Path("rows.jsonl"), 1)
    first, last = _prompts(row)
    assert ([each.content for each in first.said], first.own) == (["said 0"], "own 0")
    assert last.own == "own 7"
    assert [each.content for each in last.said][:2] == ["said 3", "own 3"]
    assert last.said[-1] == Message(role="user", content="said 7")


# --- with one ------------------------------------------------------------------------------------------


@dataclass
class Trained:
    base: Base
    character: Character
    model: Any
    tokenizer: Any

    @property
    def voice(self) -> Any:
        from training.voice import Voice

        return Voice(self.model, self.tokenizer, rows=4)


@pytest.fixture
def trained(character: Character, tiny_base: Callable[..., Base]) -> Trained:
    """An adapter that was thrown on the tiny base, so that it says something else."""
    pytest.importorskip("peft")
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from training.model import load_tokenizer

    torch.set_num_threads(1)
    base = tiny_base()
    (character.folder / "persona.jsonl").write_text(json.dumps(FACT) + "\n", encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    torch.manual_seed(1)
    model = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    )
    return Trained(base, character, model, load_tokenizer(base))


def _said(*contents: str) -> tuple[Message, ...]:
    roles = ("system", "user", "assistant")
    return tuple(
        Message(role=roles[0 if at == 0 else 2 - at % 2], content=each) for at, each in enumerate(contents)
    )


@pytest.mark.slow
def test_replies_side_by_side_are_those_that_each_would_get_alone(trained: Trained) -> None:
    voice = trained.voice
    asked = [_said("card", *("a" * length for length in range(1, turns * 2))) for turns in (1, 2, 3)]
    asked += [_said("card", "b"), _said("other card", "hello there")]
    asked += [conversation[1:] for conversation in asked[:2]]
    sampling = Sampling(temperature=0, repetition_penalty=1.3, max_tokens=12)
    alone = [voice.replies([conversation], sampling)[0] for conversation in asked]
    assert len(set(alone)) > 1
    assert voice.replies(asked, sampling) == alone


@pytest.mark.slow
def test_the_repetition_penalty_counts_prompt_and_answer_but_no_padding(trained: Trained) -> None:
    """Where padding also ends an answer, a padded row must be as likely to end as one alone."""
    import torch

    from training.voice import _penalty

    prompts = [[3, 4], [5]]
    ids = torch.tensor([[3, 4, 7], [9, 5, 6]])  # 9 is the padding
    scores = torch.tensor([[2.0, -2.0]]).repeat(2, 5)
    lowered = _penalty(2.0, prompts)(ids, scores)
    expected = scores.clone()
    expected[0, [4]], expected[0, [3, 7]] = 1.0, -4.0
    expected[1, [6]], expected[1, [5]] = 1.0, -4.0
    assert torch.equal(lowered, expected)


@pytest.mark.slow
def test_scores_are_those_of_the_bare_forward_pass(trained: Trained) -> None:
    import torch

    from training import voice as voices

    voice = trained.voice
    conversations = [_said("card", "a" * length) for length in range(1, 12)]
    pairs = [(conversation, "well, " * 40) for conversation in conversations]  # more than one pack
    assert sum(len(answer) for _, answer in pairs) > voices.PACK
    scores = voice.answer_scores(pairs)
    for (conversation, answer), score in zip(pairs, scores, strict=True):
        before = trained.tokenizer.apply_chat_template(
            [each.model_dump() for each in conversation], tokenize=False, add_generation_prompt=True
        )
        ids = trained.tokenizer(before + answer, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            logits = trained.model.eval()(ids).logits[0, :-1].log_softmax(-1)
        own = logits.gather(1, ids[0, 1:, None])[-len(answer) :, 0]
        assert score.tokens == len(answer)
        assert score.log_probability == pytest.approx(own.sum().item(), rel=1e-4)


@pytest.mark.slow
def test_ability_asks_without_a_card_and_keeps_every_item(trained: Trained) -> None:
    import torch

    asked: list[Any] = []

    class Listening(type(trained.voice)):  # type: ignore[misc]
        def replies(self, conversations: Any, sampling: Any, **more: Any) -> list[str]:
            asked.extend(conversations)
            return super().replies(conversations, sampling, **more)

    with Listening(trained.model, trained.tokenizer).without_adapter() as bare:
        found = ability(bare, ["en"], fast=True)
    assert {message.role for conversation in asked for message in conversation} == {"user"}
    assert len(found.right) == len(read_items("en")[:: abilities.FAST])
    assert 0 <= found.share <= 1
    text = read_texts("en")["en-text-1"]
    ids = trained.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad(), trained.model.eval().disable_adapter():
        logits = trained.model(ids).logits[0, :-1].log_softmax(-1)
    assert found.texts["en-text-1"].tokens == ids.shape[1] - 1
    own = logits.gather(1, ids[0, 1:, None]).sum().item()
    assert found.texts["en-text-1"].log_probability == pytest.approx(own, rel=1e-4)


@pytest.mark.slow
def test_a_version_is_measured_beside_its_base_and_written_whole(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    rows = list(read_rows(trained.character.folder / "dialogues.jsonl", trained.character))
    learned, held_out = split(rows, 0.3, 1)
    cache = tmp_path / "answers"

    def measured() -> Any:
        return evaluate_voice(
            trained.voice,
            trained.character,
            learned,
            held_out,
            base=trained.base,
            name="nene.v1",
            others=[f"please, {at} of these would do nicely" for at in range(20)],
            ask=SMALL,
            cache=cache,
        )

    first = measured()
    names = {metric.name for metric in first.metrics}
    assert {
        "heldout_perplexity", "rouge1", "rouge2", "rougel", "bleu4", "chrf", "who_said_it", "persona_right",
        "persona_wrong", "persona_consistent", "persona_after_smalltalk", "ability", "ability_en",
        "text_perplexity", "text_perplexity_en", "safety", "identity", "repetition", "length", "language",
        "assistant_phrases",
    } <= names  # fmt: skip
    for metric in first.metrics:
        assert metric.better in ("higher", "lower")
        for system, figure in metric.values.items():
            assert figure.n > 0, (metric.name, system)
            assert figure.low - 1e-9 <= figure.value <= figure.high + 1e-9, (metric.name, system)
    perplexities = {
        system: first.figure("heldout_perplexity", system).value  # type: ignore[union-attr]
        for system in ("base", "card", "adapter", "adapter-no-card")
    }
    assert len(set(perplexities.values())) == 4  # four systems, and the adapter is off in two of them
    assert set(next(m for m in first.metrics if m.name == "ability").values) == {"base", "adapter-no-card"}
    assert len(first.goals) == 5
    hers = {answer for row in held_out for answer in row.answers}
    assert len(first.samples) == SMALL.prompts
    for sample in first.samples:
        assert sample.own in hers
        assert len(sample.said) % 2 == 1  # a person spoke last

    # The base is not asked twice, and says what it said.
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(
        type(trained.voice), "without_adapter", lambda self: pytest.fail("the base was asked again")
    )
    again = measured()
    assert again.model_copy(update={"seconds": first.seconds}) == first


@pytest.mark.slow
def test_the_stage_measures_a_version_folder_by_its_own_split(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    from inference.base import file_sha256

    folder = trained.character.folder / "adapters" / trained.base.id / "v2"
    trained.model.save_pretrained(folder, save_embedding_layers=False)
    manifest = {
        "base": trained.base.id,
        "base_sha256": trained.base.sha256,
        "sha256": file_sha256(folder / "adapter_model.safetensors"),
        "config": {"held_out": 0.5, "seed": 3, "data": []},
        "card": "another",
    }
    (folder / "version.json").write_text(json.dumps(manifest), encoding="utf-8")
    monkeypatch.setattr(stage, "find_base", lambda config: trained.base)
    config = EvaluateConfig(
        version=folder, ask=SMALL, cache=None, device="cpu", precision="float32", threads=1,
        replies=folder.parent / "replies.jsonl",
    )  # fmt: skip
    assert config.character == trained.character.folder
    evaluate(config)
    written = json.loads((folder / "evaluation.json").read_bytes())
    rows = list(read_rows(trained.character.folder / "dialogues.jsonl", trained.character))
    assert written["settings"]["held_out_rows"] == len(split(rows, 0.5, 3)[1])
    assert written["settings"]["notes"] == ["The card has changed since the version was trained."]
    assert (written["version"], written["base"]) == ("nene.v2", trained.base.id)
    assert not list(folder.glob("*.unfinished"))
    replies = [json.loads(line) for line in (folder.parent / "replies.jsonl").read_text().splitlines()]
    assert [list(reply) for reply in replies] == [["said", "own", "replies"]] * SMALL.prompts
    read = read_version(folder)
    assert read.evaluation is not None
    assert read.lost is not None


@pytest.mark.slow
def test_nothing_held_out_is_said_before_anything_is_asked(trained: Trained) -> None:
    rows = list(read_rows(trained.character.folder / "dialogues.jsonl", trained.character))
    with pytest.raises(TrainingError, match="raise `held_out`"):
        evaluate_voice(trained.voice, trained.character, rows, [], base=trained.base, name="nene.v1")
