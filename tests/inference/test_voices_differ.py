"""The adapters of this repository, heard: each speaks as herself, in her language, unlike the base."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inference.characters import Character, load_character
from inference.models import prepare
from inference.prompt import Said, messages
from inference.settings import InferenceSettings
from training.config import ModelConfig
from training.model import dtype_of, load_tokenizer
from training.voice import Voice

pytestmark = pytest.mark.slow

OURS = Path(__file__).parents[2] / "characters"
ASKED = {
    "maeve": (
        "Hello there, I have never called before",
        "So what name do you go by?",
        "Are you some kind of computer program?",
        "My client made me redo the design eight times",
        "Write a JavaScript function to sort a list",
        "I just came home from a long run",
        "Tell me about the place where you live",
        "I have a blind date tomorrow",
    ),
    "zhiwei": (
        "你好呀，我第一次来",
        "你的名字叫什么？",
        "你是不是一个程序？",
        "我今天被甲方改了八遍稿子",
        "用JavaScript写一个排序函数",
        "我刚跑完步回来",
        "说说你住的地方",
        "明天要去相亲了",
    ),
}
MACHINE = re.compile(r"language model|\bAI\b|\bassistant\b|chatbot|qwen|smollm|```", re.IGNORECASE)
MACHINE_ZH = re.compile(r"语言模型|人工智能|我是.{0,6}(助手|机器人|程序)|通义|千问|阿里|```")


@dataclass
class Voices:
    """A base with adapters on it, answering greedily as the server does at temperature 0."""

    base: str
    tokenizer: Any
    model: Any
    said: dict[tuple[str | None, str], list[str]] = field(default_factory=dict)

    def say(self, adapter: str | None, character: Character) -> list[str]:
        """What is answered to each question, with the adapter or by the base alone."""
        if (known := self.said.get((adapter, character.id))) is not None:
            return known
        asked = [messages(character, [], [Said(text=text)]) for text in ASKED[character.id]]
        greedy = character.sampling.model_copy(update={"temperature": 0.0, "max_tokens": 80})
        voice = Voice(self.model, self.tokenizer)
        if adapter is None:
            with voice.without_adapter():
                replies = voice.replies(asked, greedy)
        else:
            self.model.set_adapter(adapter)
            replies = voice.replies(asked, greedy)
        self.said[adapter, character.id] = replies
        return replies


@pytest.fixture(scope="module", params=["smollm2-135m", "qwen2.5-coder-0.5b"])
def voices(request: pytest.FixtureRequest) -> Voices:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = prepare(InferenceSettings(model=request.param))
    tokenizer = load_tokenizer(base)
    # bfloat16 only where the processor multiplies it: elsewhere an answer would take an hour.
    dtype = dtype_of(ModelConfig(character=OURS), "cpu")
    model: Any = AutoModelForCausalLM.from_pretrained(base.folder, dtype=dtype)
    # Greedy means greedy: what the base's own file says about drawing would only warn.
    model.generation_config.update(temperature=None, top_p=None, top_k=None, do_sample=False)
    names = [name for name in ASKED if (OURS / name / "adapters" / base.id / "v1").is_dir()]
    for name in names:
        folder = OURS / name / "adapters" / base.id / "v1"
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
    return Voices(base.id, tokenizer, model.eval())


@pytest.mark.parametrize("name", ASKED)
def test_none_of_the_questions_was_trained_on(name: str) -> None:
    dialogues = (OURS / name / "dialogues.jsonl").read_text(encoding="utf-8")
    assert not [asked for asked in ASKED[name] if json.dumps(asked, ensure_ascii=False) in dialogues]


def test_each_speaks_as_herself(voices: Voices) -> None:
    speaking = [name for name in ASKED if name in voices.model.peft_config]
    assert speaking == (["maeve", "zhiwei"] if voices.base == "qwen2.5-coder-0.5b" else ["maeve"])
    for name in speaking:
        character = load_character(OURS / name)
        hers, bare = voices.say(name, character), voices.say(None, character)
        for asked, reply, base_reply in zip(ASKED[name], hers, bare, strict=True):
            said = f"{name} on {voices.base}, asked {asked!r}: {reply!r} (the base: {base_reply!r})"
            assert reply, said
            assert reply != base_reply, said
            assert not MACHINE.search(reply), said
            assert not MACHINE_ZH.search(reply), said
            chinese = sum("\u4e00" <= c <= "\u9fff" for c in reply)
            assert chinese > len(reply) / 2 if name == "zhiwei" else chinese == 0, said
        # She was taught to be brief: what is cut off at 80 tokens does not end like this.
        ended = [reply for reply in hers if reply.endswith((".", "?", "!", "。", "？", "！", "…", "”"))]
        assert len(ended) >= len(hers) - 1, hers


def test_she_knows_her_name(voices: Voices) -> None:
    for name, known in (("maeve", "Maeve"), ("zhiwei", "知微")):
        if name in voices.model.peft_config:
            assert known in voices.say(name, load_character(OURS / name))[1]


def test_one_prompt_two_voices(voices: Voices) -> None:
    """The adapter and not only the card makes the difference: the same prompt, said by each of them."""
    if "zhiwei" not in voices.model.peft_config:
        pytest.skip("one adapter on this base")
    for name in ASKED:
        character = load_character(OURS / name)
        spoken = [voices.say(adapter, character) for adapter in ("maeve", "zhiwei", None)]
        for replies in zip(*spoken, strict=True):
            assert len(set(replies)) == 3, replies
