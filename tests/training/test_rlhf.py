"""GRPO and RLOO on a model of a few kilobytes, the rules that reward, and the rule that ends a run."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inference.base import Base
from inference.characters import Character
from training.config import load_config
from training.errors import ConfigError, TrainingError
from training.looks import Look, best_of, fallen, looks_in, why_stop
from training.reward_rules import near, rules
from training.rlhf import RlhfConfig, rlhf

MakeBase = Callable[..., Base]


def look(step: int, reward: float, ability: float = 0.5, style: float = 0.2) -> Look:
    return Look(step, reward, {"ability": ability, "style": style, "manner": 1.0})


# --- the rule that ends a run


def test_the_best_look_is_the_most_rewarded_that_holds() -> None:
    start, better, hacked = look(0, 1.0), look(10, 1.5), look(20, 3.0, ability=0.3)
    assert best_of([start], 0.1) is None
    assert best_of([start, better], 0.1) is better
    assert fallen(hacked, start, 0.1) == ["ability"]
    assert best_of([start, better, hacked], 0.1) is better
    assert best_of([start, hacked], 0.1) is None
    assert best_of([start, look(10, 0.9)], 0.1) is None, "worse than the parent is no best state"
    assert best_of([start, better, look(20, 1.5)], 0.1) is better, "as good as before is nothing new"


def test_a_run_ends_when_reward_rises_and_probes_fall() -> None:
    looks = [look(0, 1.0), look(10, 1.5), look(20, 1.8, style=0.1), look(30, 2.5, style=0.05)]
    assert why_stop(looks, 0.1, 3) == ""
    why = why_stop([*looks, look(40, 3.0, style=0.05)], 0.1, 3)
    assert "reward rises while style falls" in why


def test_a_run_ends_when_nothing_gets_better() -> None:
    looks = [look(0, 1.0), look(10, 1.5), look(20, 1.4), look(30, 1.3)]
    assert why_stop(looks, 0.1, 3) == ""
    assert why_stop([*looks, look(40, 1.5)], 0.1, 3) == "3 looks brought nothing better"
    assert why_stop([*looks, look(40, 1.6)], 0.1, 3) == "", "a new best one goes on"


def test_looks_are_read_from_what_was_logged() -> None:
    logged = {"eval_reward": 1.0, "eval_ability": 0.5, "eval_style": 0.2, "eval_manner": 1.0, "step": 0}
    assert looks_in([logged, {"loss": 1.0, "step": 1}]) == [look(0, 1.0)]


# --- rules


def test_rules_reward_what_they_should() -> None:
    hers = rules("en", ["mind the stairs, they are steep", "two hundred and twelve of them, and no lift"])
    good = "Mind the lamp, it is older than both of us."
    assert all(rule(good, True) == 1 for rule in hers.values())
    assert hers["language"]("灯塔里有二百一十二级台阶，小心一点。", True) == 0
    assert hers["assistant"]("As an AI language model, I cannot climb stairs.", True) == 0
    assert hers["repetition"]("mind the stairs mind the stairs mind the stairs mind the stairs", True) < 0.5
    assert hers["ending"](good, False) == 0
    assert 0 < hers["length"]("Mind it.", True) < 1
    assert hers["length"]("on and on " * 40, True) == 0
    assert sum(rule("", False) for rule in hers.values()) == 0, "saying nothing earns nothing"


def test_length_is_worth_less_the_further_it_is_off() -> None:
    assert [near(length, 10, 40) for length in (0, 5, 10, 40, 60, 80, 200)] == [0, 0.5, 1, 1, 0.5, 0, 0]


# --- configuration


@pytest.mark.parametrize(
    ("overrides", "wrong"),
    [
        (["parent=x", "batch=5", "group=4"], "no whole number of groups"),
        (["parent=x", "weights.charm=1"], "no reward `charm`"),
        (["parent=x", "rollouts=server", "method=rloo"], "needs `method: grpo`"),
        (["parent=x", "rollouts=server", "temperature=0.8"], "needs `temperature: 1`"),
        (["parent=x", *(f"weights.{name}=0" for name in ("model", *rules("en", ["a line"])))], "all 0"),
        ([], "`parent` is missing"),
    ],
)
def test_configurations_that_mean_nothing_are_refused(
    overrides: list[str], wrong: str, tmp_path: Path
) -> None:
    weights = [f"weights.{name}=1" for name in ("model", *rules("en", ["a line"]))]
    with pytest.raises(ConfigError, match=wrong):
        rlhf(load_config(RlhfConfig, None, [f"character={tmp_path}", *weights, *overrides]))


# --- runs


@pytest.fixture
def parent(character: Character, tiny_base: MakeBase, tmp_path: Path) -> Path:
    """A version to go on from."""
    from training.sft import SftConfig, sft

    fixed = ["precision=float32", "probe=false", "replay_share=0", "lora.rank=8", "learning_rate=0.01"]
    where = [f"character={character.folder}", f"base={tiny_base().folder}", f"run={tmp_path / 'sft'}"]
    return sft(load_config(SftConfig, None, [*where, *fixed, "epochs=1", "batch=4", "threads=1"]))


def config_of(character: Character, base: Base, parent: Path, *overrides: str) -> Any:
    fixed = [
        f"character={character.folder}",
        f"base={base.folder}",
        f"parent={parent}",
        f"run={character.folder.parent.parent / 'run'}",
        "precision=float32",
        "learning_rate=0.02",
        "batch=16",
        "accumulate=1",
        "group=8",
        "max_tokens=12",
        "kl=0.001",
        "steps=6",
        "save_every=2",
        "held_out=0.3",
        "looked_at=4",
        "tolerance=1",  # the tiny model has no ability to lose
        "patience=9",
        "threads=1",
    ]
    only = dict.fromkeys(("model", *rules("en", ["a line"])), 0.0) | {"ending": 1.0}
    return load_config(RlhfConfig, None, [*fixed, *(f"weights.{k}={v}" for k, v in only.items()), *overrides])


def history(version: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in (version / "history.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """General ability is tested elsewhere, and takes a tiny model as many questions as a large one."""
    import training.looks
    from training.ability import Ability

    monkeypatch.setattr(training.looks, "ability", lambda *_: Ability({"en-1": True}, {}))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_look")
@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_what_is_rewarded_happens_more(
    character: Character, parent: Path, tiny_base: MakeBase, method: str
) -> None:
    from inference.adapters import WEIGHTS, AdapterCheck
    from training.version import read_manifest

    base = tiny_base()
    # The parent hardly ever comes to an end within twelve tokens; that is what is rewarded.
    out = rlhf(config_of(character, base, parent, f"method={method}", "steps=10", "weights.language=0.1"))
    AdapterCheck(base).check(out)
    assert not list(out.rglob("ref"))
    assert (out / WEIGHTS).read_bytes() != (parent / WEIGHTS).read_bytes()
    manifest = read_manifest(out)
    assert manifest.stage == method
    assert manifest.figures["reward_after"] > manifest.figures["reward_before"]
    drawn = [entry["reward"] for entry in history(out) if "reward" in entry]
    assert sum(drawn[-3:]) / 3 > sum(drawn[:3]) / 3 + 0.05
    assert all("kl" in entry for entry in history(out) if "reward" in entry)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_look")
def test_nothing_is_written_when_nothing_got_better(
    character: Character, parent: Path, tiny_base: MakeBase
) -> None:
    config = config_of(character, tiny_base(), parent, "learning_rate=1e-9", "steps=2")
    with pytest.raises(TrainingError, match="no state was better than"):
        rlhf(config)
    assert not (parent.parent / "v2").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_look")
def test_a_run_goes_on_where_it_was_stopped(
    character: Character, parent: Path, tiny_base: MakeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerCallback

    import training.rlhf
    from training.progress import watch

    class Stopped(Exception):
        pass

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise Stopped

    config = config_of(character, tiny_base(), parent, "steps=8")
    with monkeypatch.context() as patch:
        patch.setattr(
            training.rlhf, "watch", lambda trainer, what: (watch(trainer, what), trainer.add_callback(Stop()))
        )
        with pytest.raises(Stopped):
            rlhf(config)
    before = json.loads((config.run / "checkpoint-4" / "trainer_state.json").read_bytes())["log_history"]
    out = rlhf(config)
    assert [each.step for each in looks_in(history(out))] == [0, 2, 4, 6, 8], "no look is taken twice"
    assert history(out)[: len(before)] == before, "the curves go on where they were"
    later = [entry["kl"] for entry in history(out)[len(before) :] if "kl" in entry]
    drawn = [entry["kl"] for entry in before if "kl" in entry]
    assert later[0] > drawn[0], "the adapter came back, and not only its parent's copy"


# --- a server that draws


@contextmanager
def vllm(ids: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on 127.0.0.1 that answers as vLLM 0.32 does with `return_token_ids`; what it was asked."""
    asked: list[dict[str, Any]] = []

    async def load(request: web.Request) -> web.Response:
        asked.append(await request.json())
        full = sum("lora_name" in each for each in asked) > 2
        if full:
            return web.json_response({"error": {"message": "no slot is free", "code": 400}}, status=400)
        assert (Path(asked[-1]["lora_path"]) / "adapter_model.safetensors").is_file()
        return web.Response(text="Success")

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        choice = {
            "token_ids": ids,
            "logprobs": {"content": [{"token": "x", "logprob": -1.0} for _ in ids]},
            "message": {"role": "assistant", "content": "x"},
        }
        return web.json_response({"prompt_token_ids": [1, 2, 3], "choices": [choice] * body["n"]})

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/load_lora_adapter", load)
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", asked
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_look")
def test_a_server_draws_with_the_adapter_as_it_is(
    character: Character, parent: Path, tiny_base: MakeBase
) -> None:
    with vllm([70, 71, 72]) as (url, asked):
        config = config_of(
            character,
            tiny_base(),
            parent,
            "rollouts=server",
            f"server.base_url={url}",
            "steps=6",
            "refresh_every=2",
        )
        with pytest.raises(TrainingError, match="CHATNVL_SERVE__SPARE_SLOTS"):
            rlhf(config)
    loads = [each for each in asked if "lora_name" in each]
    chats = [each for each in asked if "messages" in each]
    assert len({each["lora_name"] for each in loads}) == 3, "a name is never used twice"
    assert len(chats) == 2 * 2 * 2, "two prompts a step, four steps until the server is full"
    assert all(each["n"] == 8 and each["logprobs"] and each["return_token_ids"] for each in chats)
    assert all(each["repetition_penalty"] == 1 and each["top_p"] == 1 for each in chats)
    assert {each["model"] for each in chats} == {each["lora_name"] for each in loads[:2]}
    assert chats[0]["messages"][0]["role"] == "system", "the card goes along"
