"""`python -m inference ask CHARACTER "…"`: one question, the answer as it is written."""

import asyncio
import sys

from inference.characters import load_characters
from inference.client import Endpoint, InferenceClient
from inference.errors import InferenceRejected
from inference.prompt import Said, messages
from inference.settings import InferenceSettings


class AskSettings(InferenceSettings):
    """What asking needs besides: where the server is."""

    inference: Endpoint = Endpoint()


def ask(character: str, text: str, *, greedy: bool = False) -> int:
    """Prints the answer; the exit code. Raises `InferenceError`."""
    return asyncio.run(_ask(AskSettings(), character, text, greedy))


async def _ask(settings: AskSettings, name: str, text: str, greedy: bool) -> int:
    characters = load_characters(settings.characters)
    character = characters.get(name)
    if character is None:
        known = ", ".join(f"`{one}`" for one in characters)
        raise InferenceRejected(
            f"there is no character `{name}`; there are: {known}", status=404, known=characters
        )
    sampling = character.sampling.model_copy(update={"temperature": 0.0} if greedy else {})
    async with InferenceClient(settings.inference, settings.data) as client:
        version = (await client.version_of(character)).version
        async with client.chat(version, messages(character, (), (Said(text=text),)), sampling) as completion:
            async for piece in completion:
                sys.stdout.write(piece)
                sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
