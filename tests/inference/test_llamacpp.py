"""llama.cpp behind our routes: the same adapters, the same names, the same numbers as far as four bits
allow."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from inference.adapters import AdapterVersion
from inference.base import Base
from inference.errors import AdapterError, ModelError
from inference.gguf import adapter_gguf, interleave
from inference.llamacpp import find_llamacpp
from inference.models import prepare
from inference.settings import ServeSettings, WrongSetting
from tests.inference.conftest import Served, real_settings, start_serve, write_adapter

MESSAGES = [
    {"role": "system", "content": "You are Maeve, the keeper of a lighthouse."},
    {"role": "user", "content": "Hello! How was your day?"},
]


def _version(folder: Path, rank: int = 8) -> AdapterVersion:
    return AdapterVersion(character="maeve", number=1, folder=folder, rank=rank, sha256="a" * 64)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    from gguf import GGUFReader

    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}


def test_conversion(tmp_path: Path, tiny_base: Base) -> None:
    from safetensors.numpy import load_file

    folder = write_adapter(tmp_path / "c" / "maeve" / "adapters" / "tiny" / "v1", tiny_base)
    path = adapter_gguf(_version(folder), tiny_base, tmp_path / "cache")
    found, source = _tensors(path), load_file(folder / "adapter_model.safetensors")
    assert len(found) == len(source) == 28
    name = "base_model.model.model.layers.1.self_attn.k_proj"
    np.testing.assert_array_equal(found["blk.1.attn_k.weight.lora_a"], source[f"{name}.lora_A.weight"])
    np.testing.assert_array_equal(found["blk.1.attn_k.weight.lora_b"], source[f"{name}.lora_B.weight"])

    before = path.stat().st_mtime_ns
    assert adapter_gguf(_version(folder), tiny_base, tmp_path / "cache").stat().st_mtime_ns == before
    assert list((tmp_path / "cache").iterdir()) == [path]


def test_rank_stabilised(tmp_path: Path, tiny_base: Base) -> None:
    from gguf import GGUFReader

    folder = write_adapter(tmp_path / "v1", tiny_base, rank=16, config={"use_rslora": True, "lora_alpha": 8})
    fields = GGUFReader(adapter_gguf(_version(folder, 16), tiny_base, tmp_path / "cache")).fields
    assert fields["adapter.lora.alpha"].contents() == pytest.approx(8 * 4), (
        "alpha / rank must be 8 / sqrt(16)"
    )


def test_interleave_is_what_llama_cpp_does_to_the_base() -> None:
    """Two heads of four rows: transformers keeps a head's halves apart, llama.cpp puts their rows in
    pairs."""
    rows = np.arange(8, dtype="float32")[:, None] * np.ones((1, 3), "float32")
    assert interleave(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_models_without_a_place(tmp_path: Path, tiny_base: Base) -> None:
    folder = write_adapter(tmp_path / "v1", tiny_base)
    config = tiny_base.folder / "config.json"
    config.write_text(config.read_text().replace('"qwen2"', '"mamba"'))
    with pytest.raises(ModelError, match="`mamba`"):
        adapter_gguf(_version(folder), tiny_base, tmp_path / "cache")
    config.write_text(config.read_text().replace('"mamba"', '"qwen2"'))
    from safetensors.numpy import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file({name.replace("q_proj", "z_proj"): value for name, value in load_file(path).items()}, path)
    with pytest.raises(AdapterError, match="no place for"):
        adapter_gguf(_version(folder), tiny_base, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.llamacpp.util.find_spec", lambda name: None)
    with pytest.raises(WrongSetting, match="no model server is installed"):
        find_llamacpp(ServeSettings(), tmp_path)


# --- the real thing
# ---------------------------------------------------------------------------------------------------


async def _post(served: Served, path: str, **body: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {served.api_key}"}
    url = served.base_url.removesuffix("/v1") + path
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=body) as answer:
        return answer.status, json.loads(await answer.read())


async def _top(served: Served, model: str) -> dict[int, float]:
    """The probabilities of the first token, by id."""
    status, body = await _post(
        served,
        "/v1/chat/completions",
        model=model,
        messages=MESSAGES,
        max_tokens=1,
        temperature=0,
        logprobs=True,
        top_logprobs=20,
    )
    assert status == 200, body
    return {top["id"]: top["logprob"] for top in body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}


def _oracle(base: Base, folders: dict[str, Path]) -> dict[str, np.ndarray]:
    """transformers and PEFT in single precision on the same dequantised weights: log-probabilities by
    name."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    ids = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    found = {}
    with torch.no_grad():
        found[base.id] = model(**ids).logits[0, -1].log_softmax(-1).numpy()
        for name, folder in folders.items():
            adapted = PeftModel.from_pretrained(model, folder)
            found[name] = adapted(**ids).logits[0, -1].log_softmax(-1).numpy()
            model = adapted.unload()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("model", "strength"), [("smollm2-135m", 2.0), ("qwen2.5-coder-0.5b", 0.7)])
async def test_the_right_adapter_with_the_right_numbers(tmp_path: Path, model: str, strength: float) -> None:
    """Each name agrees with PEFT's answer for that name, and with nobody else's: both architectures."""
    base = prepare(real_settings(model))
    folders = {}
    for number, character in enumerate(("maeve", "zhiwei"), 1):
        folder = tmp_path / "characters" / character / "adapters" / base.id / "v1"
        folders[f"{character}.v1"] = write_adapter(folder, base, seed=number, strength=strength)
    oracle = _oracle(base, folders)
    served = start_serve(tmp_path / "serve", base, tmp_path / "characters", CHATNVL_SERVE__ENGINE="llamacpp")
    try:
        served.wait_for("is ready after")
        names = list(oracle)
        asked = await asyncio.gather(*(_top(served, name) for name in names * 2))  # all at once, each twice
        for name, top in zip(names * 2, asked, strict=True):
            away = {
                other: float(np.mean([abs(oracle[other][token] - logprob) for token, logprob in top.items()]))
                for other in names
            }
            nearest = min(away, key=lambda other: away[other])
            assert nearest == name, away
            assert away[name] < 0.5 * min(value for other, value in away.items() if other != name), away
    finally:
        assert served.stop() == 0, served.said


@pytest.fixture(scope="module")
def llamacpp(tmp_path_factory: pytest.TempPathFactory, real_base: Base) -> Any:
    folder = tmp_path_factory.mktemp("llamacpp")
    characters = folder / "characters"
    write_adapter(characters / "maeve" / "adapters" / real_base.id / "v1", real_base, seed=1)
    served = start_serve(folder, real_base, characters, CHATNVL_SERVE__ENGINE="llamacpp")
    try:
        served.wait_for("is ready after")
        yield served
    finally:
        served.stop()


@pytest.mark.slow
async def test_routes(llamacpp: Served, real_base: Base) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{llamacpp.base_url}/models") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {llamacpp.api_key}"}
        async with session.get(f"{llamacpp.base_url}/models", headers=headers) as answer:
            cards = (await answer.json())["data"]
    assert [(card["id"], card["parent"]) for card in cards] == [
        (real_base.id, None),
        ("maeve.v1", real_base.id),
    ]
    chat = {"messages": MESSAGES, "max_tokens": 3}
    for name in ("nobody.v1", "/etc", ""):
        assert (await _post(llamacpp, "/v1/chat/completions", model=name, **chat))[0] == 404
    status, body = await _post(llamacpp, "/v1/chat/completions", model="nobody.v1", **chat)
    assert f"Valid aliases: {real_base.id}, maeve.v1" in body["error"]["message"]
    for field in ("prompt_logprobs", "lora", "n", "structured_outputs"):
        status, body = await _post(llamacpp, "/v1/chat/completions", model="maeve.v1", **chat, **{field: 1})
        assert (status, field in body["error"]["message"]) == (400, True)
    assert (await _post(llamacpp, "/lora-adapters"))[0] == 404


@pytest.mark.slow
async def test_tokens_are_those_of_training(llamacpp: Served, real_base: Base) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_base.folder)
    for prompt in (True, False):
        status, body = await _post(
            llamacpp, "/tokenize", model="maeve.v1", messages=MESSAGES, add_generation_prompt=prompt
        )
        expected = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=prompt, return_dict=True)[
            "input_ids"
        ]
        assert (status, body["count"], body["tokens"]) == (200, len(expected), expected)


@pytest.mark.slow
async def test_a_client_that_leaves_stops_it(llamacpp: Served) -> None:
    """Four long replies fill all slots; when their readers are gone, a fifth is answered at once."""
    headers = {"Authorization": f"Bearer {llamacpp.api_key}"}
    body = {"model": "maeve.v1", "messages": MESSAGES, "max_tokens": 1500, "stream": True, "ignore_eos": True}
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(8):
            async with session.post(f"{llamacpp.base_url}/chat/completions", json=body) as answer:
                assert (await answer.content.readline()).startswith(b"data: ")
        async with asyncio.timeout(60):
            status, _ = await _post(
                llamacpp, "/v1/chat/completions", model="maeve.v1", messages=MESSAGES, max_tokens=2
            )
    assert status == 200


@pytest.mark.slow
def test_ends_with_its_supervisor(tmp_path: Path, real_base: Base) -> None:
    (tmp_path / "characters").mkdir()
    served = start_serve(tmp_path, real_base, tmp_path / "characters", CHATNVL_SERVE__ENGINE="llamacpp")
    served.wait_for("is ready after")
    children = served.children()
    assert children
    served.kill()
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in children):
            return
        time.sleep(0.1)
    raise AssertionError(f"{children} outlived their supervisor")
