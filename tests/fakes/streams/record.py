"""Records what a real vLLM answers, byte for byte, for `tests/fakes/model.py` to take its shapes from.

    python tests/fakes/streams/record.py http://127.0.0.1:8000 KEY BASE ADAPTER

BASE and ADAPTER are served names, such as `smollm2-135m` and `maeve.v1`. Each answer is written beside this
file: the status on the first line, then the body.
"""

import re
import sys
from pathlib import Path

import httpx

HERE = Path(__file__).parent


def record(root: str, key: str, base: str, adapter: str) -> None:
    chat = {
        "model": adapter,
        "messages": [
            {"role": "system", "content": "You are Maeve."},
            {"role": "user", "content": "Hi! " * 40},
        ],
        "max_tokens": 6,
        "temperature": 0,
    }
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    long = [{"role": "user", "content": "word " * 9000}]
    requests: dict[str, tuple[str, str, dict[str, object] | None]] = {
        "models": ("GET", "/v1/models", None),
        "chat": ("POST", "/v1/chat/completions", chat),
        "stream": ("POST", "/v1/chat/completions", chat | stream),
        "stream-without-usage": ("POST", "/v1/chat/completions", chat | {"stream": True}),
        "stream-eos": (
            "POST",
            "/v1/chat/completions",
            chat | stream | {"model": base, "max_tokens": 200, "stop": ["."]},
        ),
        "unknown-model": ("POST", "/v1/chat/completions", chat | stream | {"model": "nobody.v1"}),
        "too-long": ("POST", "/v1/chat/completions", chat | stream | {"messages": long}),
        "max-tokens-too-large": ("POST", "/v1/chat/completions", chat | stream | {"max_tokens": 99999}),
        "no-messages": ("POST", "/v1/chat/completions", chat | {"messages": []}),
        "bad-field": ("POST", "/v1/chat/completions", chat | {"temperature": "warm"}),
        "tokenize": (
            "POST",
            "/tokenize",
            {"model": adapter, "messages": chat["messages"], "add_generation_prompt": True},
        ),
        "tokenize-unknown": ("POST", "/tokenize", {"model": "nobody.v1", "messages": chat["messages"]}),
        "load-missing": (
            "POST",
            "/v1/load_lora_adapter",
            {"lora_name": "x.v1", "lora_path": "/nonexistent/x"},
        ),
        "load-twice": (
            "POST",
            "/v1/load_lora_adapter",
            {"lora_name": adapter, "lora_path": "/nonexistent/x"},
        ),
        "unload-unknown": ("POST", "/v1/unload_lora_adapter", {"lora_name": "nobody.v1"}),
    }
    with httpx.Client(base_url=root, headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        for name, (method, path, body) in requests.items():
            answer = client.request(method, path, json=body)
            # The recording machine's folders are nobody's business.
            content = re.sub(rb'"root":"[^"]*"', b'"root":"/models/x"', answer.content)
            (HERE / f"{name}.http").write_bytes(f"{answer.status_code}\n".encode() + content)
        answer = client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        (HERE / "unauthorized.http").write_bytes(f"{answer.status_code}\n".encode() + answer.content)


if __name__ == "__main__":
    record(*sys.argv[1:])
