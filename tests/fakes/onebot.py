"""A QQ client as NapCat, LLBot and Lagrange's forks are, seen from a bot: it connects to a reverse WebSocket.

Frames have the shapes of the real ones, field for field from their sources. Groups and their histories live
here, so what was "shown" can be asked for. Each way in which a real one misbehaves is a fault to choose.
"""

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import websockets

Dialect = Literal["napcat", "llbot", "lagrange"]
# For one send: answered twice; shown but never answered; answered 1200 though shown; 1200 and not shown;
# refused as bad parameters; shown, then the socket is cut; the socket is cut before anything is shown; shown
# and answered `async`, without an id; never answered, and only later in the history.
Fault = Literal[
    "twice", "silence", "1200 shown", "1200 lost", "refused", "cut shown", "cut lost", "async", "late"
]
SENDS = {"send_group_msg", "send_private_msg", "send_msg"}


@dataclass
class Sent:
    """A message of the bot that people can see."""

    id: int | str
    text: str
    segments: list[dict[str, Any]]
    group: int | None
    user: int | None
    params: dict[str, Any]

    @property
    def quotes(self) -> str | None:
        return next((s["data"]["id"] for s in self.segments if s["type"] == "reply"), None)


@dataclass
class FakeOneBot:
    """`async with FakeOneBot(url, token=...) as qq: await qq.say("hi", user=1); await qq.wait_reply()`."""

    url: str
    account: int = 123456789
    token: str | None = ""
    dialect: Dialect = "napcat"
    format: Literal["array", "string"] = "array"
    ids: Literal["number", "negative", "string"] | None = None  # None: as the dialect has them
    role: str | None = "Universal"
    lifecycle: bool = True
    heartbeat: float | None = None  # seconds
    headers: dict[str, str] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)  # one for each send, in order
    mute: set[str] = field(default_factory=set)  # actions that are never answered
    unknown: set[str] = field(default_factory=set)  # actions this build does not have

    def __post_init__(self) -> None:
        self.sent: list[Sent] = []
        self.calls: list[dict[str, Any]] = []
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.files: list[dict[str, Any]] = []  # that the bot gave people in private
        self.online = True
        self._count = 0
        self._changed = asyncio.Event()
        self._socket: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._late: list[dict[str, Any]] = []

    # The connection

    async def __aenter__(self) -> "FakeOneBot":
        await self.connect()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def connect(self, patience: float = 60) -> None:
        """Try again, as real ones do, while the bot does not listen yet; a refusal is raised."""
        headers = {"X-Self-ID": str(self.account)}
        if self.role is not None:
            headers["X-Client-Role"] = self.role
        if self.token is not None:  # NapCat sends "Bearer " without one
            headers["Authorization"] = f"Bearer {self.token}"
        async with asyncio.timeout(patience):
            while True:
                try:
                    self._socket = await websockets.connect(
                        self.url,
                        additional_headers=headers | self.headers,
                        user_agent_header="OneBot/11",
                        open_timeout=60,
                        close_timeout=1,
                    )
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
        if self.lifecycle:
            await self.push(
                self._event("meta_event", "meta_event_type", "lifecycle", sub_type="connect"),
            )
        self._tasks = [asyncio.create_task(self._read(self._socket))]
        if self.heartbeat is not None:
            self._tasks.append(asyncio.create_task(self._beat(self.heartbeat)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    def cut(self) -> None:
        """The connection is gone without a word, as when the process is killed."""
        self._socket.transport.abort()

    def freeze(self) -> None:
        """A zombie: the TCP connection stays, but nobody reads or answers pings any more."""
        for task in self._tasks:
            task.cancel()
        self._socket.transport.pause_reading()

    async def closed(self, patience: float = 5) -> int | None:
        """Wait until the bot closed the connection; its close code."""
        async with asyncio.timeout(patience):
            await self._socket.wait_closed()
        return self._socket.close_code

    async def push(self, frame: object) -> None:
        await self._socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    # What people do

    async def say(
        self,
        text: str,
        *,
        user: int | str,
        group: int | None = None,
        at: bool = True,
        name: str = "",
        card: str = "",
        reply_to: int | str | None = None,
        segments: list[dict[str, Any]] | None = None,
        message_id: int | str | None = None,
        heard: bool = True,
        **fields: Any,
    ) -> int | str:
        """Somebody writes, to the bot if `at`, unheard by it if not `heard`. None in `fields` removes one."""
        body = [*(segments or []), {"type": "text", "data": {"text": text}}]
        if at and group is not None:
            body[0:0] = [{"type": "at", "data": {"qq": str(self.account)}}]
            body[-1]["data"]["text"] = f" {text}"
        if reply_to is not None:
            body[0:0] = [{"type": "reply", "data": {"id": str(reply_to)}}]
        known = self._id() if message_id is None else message_id
        event = self._message(known, user, group, body, name=name, card=card) | fields
        event = {key: value for key, value in event.items() if value is not None}
        self._remember(event, group, user)
        if heard:
            await self.push(event)
        return known

    async def react(
        self,
        message: int | str,
        emoji: str,
        user: int | None,
        *,
        group: int | None = 987654,
        added: bool = True,
        **fields: Any,
    ) -> None:
        """Somebody puts an emoji on a message or takes it away, in this dialect's own notice."""
        if self.dialect == "lagrange":
            notice = self._event(
                "notice",
                "notice_type",
                "reaction",
                sub_type="add" if added else "remove",
                group_id=group,
                message_id=message,
                operator_id=user,
                code=emoji,
                count=1,
            )
        else:
            notice = self._event(
                "notice",
                "notice_type",
                "group_msg_emoji_like",
                group_id=group,
                user_id=user,
                message_id=message,
                likes=[{"emoji_id": emoji, "count": 1}],
                is_add=added,
            )
        for key, value in fields.items():
            notice[key] = value
            if value is None:
                del notice[key]
        await self.push(notice)

    async def wait_reply(self, which: int | Callable[[Sent], bool] = 1, patience: float = 60) -> Sent:
        """The n-th message shown, or the first that fits."""
        async with asyncio.timeout(patience):
            while True:
                self._changed.clear()
                if isinstance(which, int):
                    if len(self.sent) >= which:
                        return self.sent[which - 1]
                elif found := next(filter(which, self.sent), None):
                    return found
                await self._changed.wait()

    async def wait_call(self, action: str, count: int = 1, patience: float = 60) -> dict[str, Any]:
        """The parameters of the count-th call of an action."""
        async with asyncio.timeout(patience):
            while True:
                self._changed.clear()
                calls = [call for call in self.calls if call["action"] == action]
                if len(calls) >= count:
                    return calls[count - 1]["params"]
                await self._changed.wait()

    # The other side of the socket

    def _id(self) -> int | str:
        self._count += 1
        number = 1763512000 + self._count * 7919 % 100_000
        style = self.ids or ("negative" if self.dialect == "lagrange" else "number")
        return {"number": number, "negative": -number, "string": f"m-{number}"}[style]

    def _event(self, post_type: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        return {
            "time": int(time.time()),
            "self_id": self.account,
            "post_type": post_type,
            kind: name,
            **fields,
        }

    def _message(
        self,
        known: int | str,
        user: int | str,
        group: int | None,
        body: list[dict[str, Any]],
        *,
        name: str,
        card: str,
    ) -> dict[str, Any]:
        sender: dict[str, Any] = {"user_id": user, "nickname": name or f"user{user}", "card": card}
        if group is not None:
            sender["role"] = "member"
        event = self._event("message", "message_type", "private" if group is None else "group")
        event |= {
            "user_id": user,
            "message_id": known,
            "message_seq": known,
            "real_id": known,
            "sub_type": "friend" if group is None else "normal",
            "sender": sender,
            "raw_message": cq(body),
            "font": 14,
            "message": body if self.format == "array" else cq(body),
            "message_format": self.format,
        }
        if group is None:
            event["target_id"] = self.account
        else:
            event |= {"group_id": group, "group_name": "測試群", "real_seq": str(self._count)}
        return event

    def _remember(self, event: dict[str, Any], group: int | None, user: int | str | None) -> None:
        self.history.setdefault(f"user {user}" if group is None else f"group {group}", []).append(event)

    async def _beat(self, seconds: float) -> None:
        with suppress(websockets.ConnectionClosed):
            while True:
                await self.beat(round(seconds * 1000))
                await asyncio.sleep(seconds)

    async def beat(self, interval: int = 30_000) -> None:
        status = {"online": self.online, "good": True}
        await self.push(
            self._event("meta_event", "meta_event_type", "heartbeat", status=status, interval=interval)
        )

    async def _read(self, socket: Any) -> None:
        with suppress(websockets.ConnectionClosed):
            async for data in socket:
                call = json.loads(data)
                self.calls.append(call)
                await self._answer(call)
                self._changed.set()

    async def _answer(self, call: dict[str, Any]) -> None:
        action, params = call["action"], call.get("params", {})
        if action in SENDS:
            await self._send(call, params)
            return
        if action in self.mute:
            return
        if action in self.unknown or not hasattr(self, f"_do_{action}"):
            await self._respond(call, None, 1404, f"不支持的Api {action}")
            return
        try:
            await self._respond(call, getattr(self, f"_do_{action}")(params))
        except LookupError as error:
            await self._respond(call, None, 1200, str(error))

    async def _respond(self, call: dict[str, Any], data: object, retcode: int = 0, message: str = "") -> None:
        status = {0: "ok", 1: "async"}.get(retcode, "failed")
        frame = {"status": status, "retcode": retcode, "data": data, "message": message, "wording": message}
        await self.push(frame | {"echo": call.get("echo"), "stream": "normal-action"})

    async def _send(self, call: dict[str, Any], params: dict[str, Any]) -> None:
        fault = self.faults.popleft() if self.faults else None
        group, user = params.get("group_id"), params.get("user_id")
        if fault == "refused" or not isinstance(params.get("message"), list):
            await self._respond(call, None, 1400, "参数错误")
            return
        if fault == "1200 lost":
            await self._respond(
                call, None, 1200, "Timeout: NTEvent serviceAndMethod:NodeIKernelMsgService/sendMsg"
            )
            return
        if fault == "cut lost":
            self.cut()
            return
        known = self._id()
        private = call["action"] == "send_private_msg" or group is None
        event = self._message(
            known, self.account, None if private else group, params["message"], name="bot", card=""
        )
        event |= {"post_type": "message_sent", "target_id": user if private else group}
        text = "".join(s["data"]["text"] for s in params["message"] if s["type"] == "text")
        if fault != "late":
            self._remember(event, None if private else group, user)
        self.sent.append(Sent(known, text, params["message"], None if private else group, user, params))
        if fault == "1200 shown":
            await self._respond(
                call, None, 1200, "Timeout: NTEvent serviceAndMethod:NodeIKernelMsgService/sendMsg"
            )
        elif fault == "cut shown":
            self.cut()
        elif fault == "async":
            await self._respond(call, None, 1)
        elif fault != "silence" and fault != "late":
            await self._respond(call, {"message_id": known})
        if fault == "twice":
            await self._respond(call, {"message_id": known})
        if fault == "late":
            self._late.append(event)

    def arrive(self) -> None:
        """What was sent `late` is in the history now."""
        for event in self._late:
            self._remember(event, event.get("group_id"), event["target_id"])
        self._late.clear()

    def _do_get_login_info(self, params: dict[str, Any]) -> object:
        return {"user_id": self.account, "nickname": "bot"}

    def _do_get_status(self, params: dict[str, Any]) -> object:
        return {"online": self.online, "good": True, "stat": {}}

    def _do_get_version_info(self, params: dict[str, Any]) -> object:
        name = {"napcat": "NapCat.Onebot", "llbot": "LLOneBot", "lagrange": "Lagrange.OneBot"}[self.dialect]
        return {"app_name": name, "protocol_version": "v11", "app_version": "4.18.19"}

    def _do_get_msg(self, params: dict[str, Any]) -> object:
        for lines in self.history.values():
            for line in lines:
                if str(line["message_id"]) == str(params["message_id"]):
                    return line
        raise LookupError("消息不存在")

    def _do_get_group_msg_history(self, params: dict[str, Any]) -> object:
        return {
            "messages": self.history.get(f"group {params['group_id']}", [])[-int(params.get("count", 20)) :]
        }

    def _do_get_friend_msg_history(self, params: dict[str, Any]) -> object:
        lines = self.history.get(f"user {params['user_id']}", [])
        if not lines:
            raise LookupError("消息undefined不存在")
        return {"messages": lines[-int(params.get("count", 20)) :]}

    def _do_upload_private_file(self, params: dict[str, Any]) -> object:
        if self.dialect == "lagrange":
            raise LookupError("no such file")  # it takes paths on its own machine only
        kind, _, data = params["file"].partition("://")
        assert kind == "base64"
        self.files.append({**params, "file": base64.b64decode(data, validate=True)})
        return {"file_id": f"/{len(self.files)}"}

    def _do_set_input_status(self, params: dict[str, Any]) -> object:
        if self.dialect != "napcat":
            raise LookupError("no such action")
        return {"result": 0, "errMsg": ""}


def cq(segments: list[dict[str, Any]]) -> str:
    """A message as the older string format writes it."""

    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")

    def code(segment: dict[str, Any]) -> str:
        if segment["type"] == "text":
            return escaped(segment["data"]["text"])
        pairs = (
            f",{key}={escaped(str(value)).replace(',', '&#44;')}" for key, value in segment["data"].items()
        )
        return f"[CQ:{segment['type']}{''.join(pairs)}]"

    return "".join(map(code, segments))
