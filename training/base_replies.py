"""What the bare base model says: replies that a character should not give.

::

    data/training/replies/<base>-<sha256>.jsonl     {"key": hash of what was asked and how, "reply": …}
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from inference.base import Base
from inference.characters import Sampling
from inference.progress import progress
from training.config import ModelConfig
from training.pairs import Conversation

FOLDER = Path("data/training/replies")
SAMPLING = Sampling(temperature=0.8, top_p=0.95, repetition_penalty=1.05, max_tokens=48)
BATCH = 64  # replies after which they are written down


class BaseReplies:
    """The bare base model's replies to conversations, kept in a file: saying them again costs nothing.

    The model is loaded when it has something new to say.
    """

    def __init__(self, config: ModelConfig, base: Base, folder: Path = FOLDER) -> None:
        self._config = config
        self._base = base
        self._file = folder / f"{base.id}-{base.sha256[:12]}.jsonl"

    def __call__(self, conversations: Sequence[Conversation]) -> list[str]:
        known = self._known()
        keys = [self._key(conversation) for conversation in conversations]
        missing = {key: each for key, each in zip(keys, conversations, strict=True) if key not in known}
        if missing:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            known |= self._say(missing)
        return [known[key] for key in keys]

    def _say(self, missing: Mapping[str, Conversation]) -> dict[str, str]:
        from training.model import load_model, load_tokenizer
        from training.voice import Voice

        voice = Voice(load_model(self._base, self._config), load_tokenizer(self._base))
        # Side by side in `Voice` go conversations of one card; so those of one card come in one batch here.
        order = sorted(missing, key=lambda key: [message.content for message in missing[key]][:1])
        said: dict[str, str] = {}
        with (
            progress(f"replies of {self._base.id}", len(order)) as advance,
            self._file.open("a", encoding="utf-8") as file,
        ):
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                replies = voice.replies([missing[key] for key in batch], SAMPLING, seed=self._config.seed)
                for key, reply in zip(batch, replies, strict=True):
                    said[key] = reply
                    file.write(json.dumps({"key": key, "reply": reply}, ensure_ascii=False) + "\n")
                file.flush()
                advance(first + len(batch))
        return said

    def _known(self) -> dict[str, str]:
        if not self._file.is_file():
            return {}
        found = {}
        for line in self._file.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                found[entry["key"]] = entry["reply"]
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a process that was killed
        return found

    def _key(self, conversation: Conversation) -> str:
        asked = [[message.role, message.content] for message in conversation]
        told = [asked, SAMPLING.model_dump(), self._config.seed]
        return sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:24]
