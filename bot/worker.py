"""Works on conversations: claims one, has the reply written, commits it, delivers it.

There is one task a conversation in a process, and Redis's lease sees to it that there is one process a
conversation. What a dead process left is found in the index of waiting conversations.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from bot import VERSION
from bot.delivery import Draft, deliver
from bot.errors import DeliveryFailed, StorageUnavailable
from bot.feedback.ledger import Ledger, prompt_hash
from bot.gateway import Gateway
from bot.memory import window
from bot.memory.places import Places
from bot.memory.turn import Busy, Claim, Delivery, Swipe, Turn, turn_id, with_swipe
from bot.memory.turns import StaleFence, Turns
from bot.messages import Conversation, Part
from bot.notices import notice
from dataset_builder.schema import Message
from inference import prompt
from inference.characters import Character
from inference.client import Completion, InferenceClient, token_bound
from inference.errors import InferenceRejected, InferenceUnavailable
from inference.release import UNDER_WAY_SECONDS

_RENEW_SECONDS = 1.0  # often enough that a reset is noticed while she still writes
_SWEEP_SECONDS = 2.0
_LEFT_SECONDS = 6.0  # longer than a burst: a waiting conversation this old has nobody
_BUSY_SECONDS = 0.5  # between two looks at a conversation that another process works on
_BURST_CAP = 5.0
_DRAIN_SECONDS = 10.0
_LONGEST_PAUSE = 15.0

log = logging.getLogger(__name__)


class Worker:
    """The turns of this process. `wake` is told of work; `run` does it until it is stopped."""

    def __init__(
        self,
        turns: Turns,
        places: Places,
        ledger: Ledger,
        client: InferenceClient,
        characters: Mapping[str, Character],
        gateways: Mapping[str, Gateway],
        *,
        patience: float,
        prompt_tokens: int | None,
        at_once: int,
    ) -> None:
        self._turns = turns
        self._places = places
        self._ledger = ledger
        self._client = client
        self._characters = characters
        self._gateways = gateways
        self._patience = patience
        self._prompt_tokens = prompt_tokens
        self._slots = asyncio.Semaphore(at_once)
        self._wakes: dict[Conversation, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nudge = asyncio.Event()
        self._draining = False
        # Version, window start, last turn, and tokens up to there, as the server counted them.
        self._known: dict[Conversation, tuple[str, int, str, int]] = {}

    def wake(self, conversation: Conversation, burst: float = 0.0) -> None:
        """There is something to do. A task already at it sees it; `burst` waits for more of the same."""
        if event := self._wakes.get(conversation):
            event.set()
            return
        if self._draining:
            return  # it is kept, and answered after the next start
        self._wakes[conversation] = asyncio.Event()
        task = asyncio.create_task(self._converse(conversation, burst), name=f"conversation {conversation}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def nudge(self) -> None:
        """Look at once for what waits: an account came back."""
        self._nudge.set()

    async def run(self) -> None:
        """Until `drain`: pick up what was left, by a dead process or by us while an account was away."""
        warned = False
        while not self._draining:
            older = 0.0 if self._nudge.is_set() else _LEFT_SECONDS
            self._nudge.clear()
            try:
                await self._sweep(older)
                warned = False
            except StorageUnavailable as error:
                if not warned:
                    log.error("%s", error)
                warned = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._nudge.wait()

    async def drain(self) -> None:
        """Begin nothing new, and let what is under way come to its end."""
        self._draining = True
        self._nudge.set()
        if self._tasks:
            log.info("waiting for %d replies to be finished", len(self._tasks))
            _, late = await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()  # the message stays in the inbox and is answered after the next start
            await asyncio.gather(*late, return_exceptions=True)

    async def _sweep(self, older_than: float) -> None:
        for gateway in self._gateways.values():
            for account in list(gateway.accounts()):
                for conversation in await self._turns.waiting(gateway.platform, account, older_than):
                    if conversation not in self._wakes and conversation.character in self._characters:
                        self.wake(conversation)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a conversation's task died", exc_info=error)

    # --- one conversation -----------------------------------------------------------------------------------

    async def _converse(self, conversation: Conversation, burst: float) -> None:
        gateway = self._gateways[conversation.place.platform]
        wake = self._wakes[conversation]
        failures, since = 0, 0.0  # of the model in a row, and when the first was
        try:
            while True:
                if failures and self._draining:
                    break
                if failures:
                    await asyncio.sleep(
                        min(0.5 * 2 ** (failures - 1), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)
                    )
                elif burst:
                    await _settle(wake, burst)
                wake.clear()
                if conversation.place.account not in gateway.accounts():
                    break  # it stays in the index until the account is back
                try:
                    claim, entry = await self._turns.claim(conversation)
                    if isinstance(claim, Busy):
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(min(claim.seconds + 0.05, _BUSY_SECONDS)):
                                await wake.wait()
                        if self._draining:
                            break
                        continue
                    if claim is not None:
                        patient = not since or time.monotonic() - since < self._patience
                        left = await self._serve(claim, gateway, failures, patient)
                        failures, since = 0, 0.0
                        if left and self._draining:
                            break  # the index knows of it
                        if left:
                            continue
                    await self._turns.idle(conversation, entry)
                except StaleFence:
                    log.info("%s was taken over or reset while a reply was written", conversation)
                    continue
                except (InferenceUnavailable, StorageUnavailable, DeliveryFailed) as error:
                    failures += 1
                    if isinstance(error, InferenceUnavailable):
                        since = since or time.monotonic()
                    if failures == 1:
                        log.warning("%s: %s; trying again", conversation, error)
                    continue
                if not wake.is_set() or self._draining:
                    break
        finally:
            self._wakes.pop(conversation, None)

    async def _serve(self, claim: Claim, gateway: Gateway, failures: int, patient: bool) -> bool:
        """Deliver what is committed and answer what waits. True when there is still something to do."""
        async with self._leased(claim):
            for delivery in claim.outbox:
                await deliver(gateway, claim, self._turns, delivery, self._patience)
            if claim.inbox:
                try:
                    async with self._slots:
                        await self._answer(claim, gateway)
                except InferenceUnavailable as error:
                    await self._unavailable(claim, gateway, failures, patient, error)
                except InferenceRejected as error:
                    log.error("%s: %s", claim.conversation, error)
                    why = "not-served" if error.status == 404 else "rejected"
                    await self._refuse(claim, gateway, why, _taken(claim))
                except (StaleFence, StorageUnavailable, DeliveryFailed):
                    raise
                except Exception:
                    # A bug of ours with this one message: it must not block the conversation for ever.
                    log.exception("%s: a message could not be answered and is dropped", claim.conversation)
                    await self._refuse(claim, gateway, "rejected", 1)
            return await self._turns.release(claim)

    @contextlib.asynccontextmanager
    async def _leased(self, claim: Claim) -> AsyncIterator[None]:
        body = asyncio.current_task()
        lost = False

        async def renew() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(_RENEW_SECONDS)
                try:
                    await self._turns.renew(claim)
                except StorageUnavailable:
                    continue
                except StaleFence:
                    lost = True
                    if body is not None:
                        body.cancel()  # another one answers, or the words were forgotten: show no more of it
                    return

        task = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if lost and body is not None:
                body.uncancel()
                raise StaleFence from None
            with contextlib.suppress(StorageUnavailable):
                await asyncio.shield(self._turns.release(claim))
            raise
        except BaseException:
            with contextlib.suppress(StorageUnavailable):
                await asyncio.shield(self._turns.release(claim))
            raise
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _unavailable(
        self, claim: Claim, gateway: Gateway, failures: int, patient: bool, error: InferenceUnavailable
    ) -> None:
        """The model is away: keep the message and say so once, or give up when it has been for too long."""
        if not patient:
            log.error("%s: given up: %s", claim.conversation, error)
            await self._refuse(claim, gateway, "given-up", len(claim.inbox))
            return
        # Not at the first failure: a stream that broke is usually mended by asking again.
        if failures >= 1 and await self._places.first_time(claim.conversation.place, "waiting", 600):
            await self._tell(claim, gateway, "waiting")
        raise error

    async def _refuse(self, claim: Claim, gateway: Gateway, why: str, items: int) -> None:
        await self._turns.drop(claim, items)
        await self._tell(claim, gateway, why)

    async def _tell(self, claim: Claim, gateway: Gateway, key: str) -> None:
        character = self._characters[claim.conversation.character]
        text = notice(key, character.notices, name=character.name)
        quotes = claim.inbox[0].id if claim.inbox else None
        try:
            await gateway.send(Part(claim.conversation.place, "", 0, text, quotes, ""))
        except DeliveryFailed as error:
            log.warning("%s: a notice was not shown: %s", claim.conversation, error)

    # --- one turn -------------------------------------------------------------------------------------------

    async def _answer(self, claim: Claim, gateway: Gateway) -> None:
        conversation = claim.conversation
        character = self._characters[conversation.character]
        named = conversation.place.kind == "group"
        turn, seen = _task(claim)
        items = _taken(claim)
        if turn is None:
            await self._refuse(claim, gateway, "only-last", items)
            return
        chosen = await self._client.version_of(character, str(conversation), _under_way(claim.window))
        version = chosen.version
        exchanges = [one.exchange(named=named) for one in seen]
        said = [item.said(named=named) for item in turn.said]

        def write(cut: int) -> list[Message]:
            return prompt.messages(character, exchanges[cut:], said)

        cut = await self._fit(claim, version, character, exchanges, said, write)
        messages = write(cut)
        reply = f"{turn.id}{len(turn.swipes)}"
        delivery = Delivery(reply, "", version, turn.said[-1].id, 0.0, claim.drafts.get(reply, []))
        seed = random.getrandbits(31)
        draft = Draft(gateway, claim, self._turns, delivery)
        async with gateway.typing(conversation.place), draft.showing():
            completion = await self._write(draft, version, messages, character, seed)
            if not prompt.clean(draft.text).strip():
                log.warning("%s: %s said nothing; asking once more", conversation, version)
                draft.begin_again()
                seed += 1
                completion = await self._write(draft, version, messages, character, seed)
        text = prompt.clean(draft.text).strip()
        if not text:
            await self._refuse(claim, gateway, "silent", items)
            return
        now = time.time()
        delivery.text, delivery.time = text, now
        record = self._ledger.record(
            conversation,
            [item.person for item in turn.said],
            {
                "reply": reply,
                "turn": turn.id,
                "swipe": len(turn.swipes),
                "card": character.card_hash,
                "version": version,
                **self._ledger.weights(character, version, self._client.bases),
                "arm": chosen.arm,
                "probability": chosen.probability,
                "prompt": prompt_hash(messages),
                "turns": [one.id for one in seen[cut:]],
                "sampling": character.sampling.model_dump(),
                "seed": seed,
                "finish_reason": completion.finish_reason,
                "prompt_tokens": completion.usage.prompt,
                "cached_tokens": completion.usage.cached,
                "completion_tokens": completion.usage.completion,
                "first_token_ms": round(completion.first_token_seconds * 1000, 1),
                "total_ms": round(completion.seconds * 1000, 1),
                "software": VERSION,
            },
            {"said": [_own(one, named=named).model_dump() for one in said], "text": text},
            {
                "conversation": str(conversation),
                "messages": [item.id for item in turn.said],
                "time": now,
            },
        )
        await self._turns.commit(
            claim,
            with_swipe(turn, Swipe(reply, text, version, now)),
            items=items,
            replaces=-1 if turn.swipes else None,
            start=claim.start + cut,
            record=record,
            delivery=delivery,
        )
        if len(self._known) > 10_000:
            self._known.clear()
        used = completion.usage.prompt + completion.usage.completion
        if used and not turn.swipes:
            self._known[conversation] = (version, claim.start + cut, turn.id, used)
        else:
            self._known.pop(conversation, None)
        await deliver(gateway, claim, self._turns, delivery, self._patience)

    async def _write(
        self, draft: Draft, version: str, messages: Sequence[Message], character: Character, seed: int
    ) -> Completion:
        try:
            async with self._client.chat(version, messages, character.sampling, seed=seed) as completion:
                async for piece in completion:
                    draft.write(piece)
        except InferenceRejected as error:
            if error.status == 404 and version not in await self._client.served(fresh=True):
                raise InferenceUnavailable(f"`{version}` was taken away; asking again who speaks") from error
            raise
        return completion

    async def _fit(
        self,
        claim: Claim,
        version: str,
        character: Character,
        exchanges: Sequence[prompt.Exchange],
        said: Sequence[prompt.Said],
        write: window.Write,
    ) -> int:
        context = self._client.context_of(version) or window.DEFAULT_CONTEXT
        budget = min(self._prompt_tokens or context, context - character.sampling.max_tokens)
        known = None
        last = self._known.get(claim.conversation)
        newest = claim.window[-1].id if claim.window else ""  # another process may have gone on meanwhile
        if last is not None and last[:3] == (version, claim.start, newest):
            known = last[3] + token_bound(prompt.user_text(character, said)) + 8
        cut = await window.fit(
            write,
            len(exchanges),
            budget,
            lambda messages: self._client.count_tokens(version, messages),
            known,
        )
        alone = write(len(exchanges))
        if (
            cut == len(exchanges)
            and sum(token_bound(message.content) for message in alone) > budget
            and await self._client.count_tokens(version, alone) > budget
        ):
            raise InferenceRejected(f"the message alone is longer than the {budget} tokens of the prompt")
        if cut:
            log.info("%s: the window is cut by %d of %d turns", claim.conversation, cut, len(exchanges))
        return cut


def _under_way(window: Sequence[Turn]) -> str | None:
    """The version that speaks in a conversation that goes on; None after a long silence."""
    if not window or time.time() - window[-1].kept.time > UNDER_WAY_SECONDS:
        return None
    answers = (window[-1].kept, *reversed(window[-1].swipes))
    return next((each.version for each in answers if each.version), None)  # "": a person wrote it


def _own(said: prompt.Said, *, named: bool) -> prompt.Said:
    """Without what it quotes in a group: those are words of somebody who may not have been asked."""
    return said.model_copy(update={"quoted": ""}) if named else said


def _taken(claim: Claim) -> int:
    """How many of the inbox are answered together: those before a wish for another answer, or that."""
    messages = [item.kind == "message" for item in claim.inbox]
    return messages.index(False) or 1 if False in messages else len(messages)


def _task(claim: Claim) -> tuple[Turn | None, Sequence[Turn]]:
    """What to answer (with its swipes, when another answer is wanted), and the turns before it.

    None when another answer is wanted to a turn that is not the last one any more.
    """
    first = claim.inbox[0]
    if first.kind == "regenerate":
        if not claim.window or claim.window[-1].id != first.text:
            return None, ()
        return claim.window[-1], claim.window[:-1]
    said = claim.inbox[: _taken(claim)]
    return Turn(
        turn_id(claim.conversation.place, claim.conversation.character, first), said, ()
    ), claim.window


async def _settle(wake: asyncio.Event, burst: float) -> None:
    """Wait until nothing has come for `burst` seconds, but not for ever."""
    end = time.monotonic() + _BURST_CAP
    while time.monotonic() < end:
        wake.clear()
        try:
            async with asyncio.timeout(burst):
                await wake.wait()
        except TimeoutError:
            return
