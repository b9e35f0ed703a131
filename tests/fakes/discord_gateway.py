"""The gateway of the fake Discord: sessions, heartbeats, resuming, intents, and ways to lose a connection."""

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from tests.fakes.discord_shapes import DM, Json, Message

if TYPE_CHECKING:
    from tests.fakes.discord import FakeDiscord

GUILDS, MEMBERS, PRESENCES = 1 << 0, 1 << 1, 1 << 8
GUILD_MESSAGES, GUILD_REACTIONS, DM_MESSAGES, DM_REACTIONS = 1 << 9, 1 << 10, 1 << 12, 1 << 13
MESSAGE_CONTENT = 1 << 15
PRIVILEGED = MEMBERS | PRESENCES | MESSAGE_CONTENT


@dataclass(eq=False)
class Session:
    id: str
    intents: int
    socket: "Socket | None" = None
    log: list[Json] = field(default_factory=list)  # every dispatch, so that a resume can send them again


class Socket:
    """One WebSocket; compresses the way it was asked to (`compress=zlib-stream`)."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws = ws
        self.request = request
        self.zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None

    async def send(self, op: int, d: object = None, s: int | None = None, t: str | None = None) -> None:
        if self.ws.closed:
            return
        text = json.dumps({"op": op, "d": d, "s": s, "t": t}, ensure_ascii=False)
        try:
            if self.zlib is None:
                await self.ws.send_str(text)
            else:
                data = self.zlib.compress(text.encode()) + self.zlib.flush(zlib.Z_SYNC_FLUSH)
                await self.ws.send_bytes(data)
        except ConnectionError:
            return  # the session keeps the event for a resume

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()


class FakeGateway:
    def __init__(self, discord: "FakeDiscord") -> None:
        self.discord = discord
        self.sessions: dict[str, Session] = {}
        self.identifies: list[Json] = []
        self.resumes: list[Json] = []
        self.heartbeats = 0
        self.refuse: int | str | None = None  # an HTTP status, or "reset": nobody gets in
        self.close_on_identify: int | None = None  # 4004, 4014, ...
        self.acknowledge = True  # heartbeats
        self.replay = 0  # a resume starts this many events too early: duplicates
        self.heartbeat_interval = 41_250

    @property
    def connected(self) -> bool:
        return any(session.socket for session in self.sessions.values())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuse is not None:
            if self.refuse == "reset" and request.transport is not None:
                request.transport.abort()
            return web.Response(status=self.refuse if isinstance(self.refuse, int) else 500)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        socket = Socket(ws, request)
        session: Session | None = None
        await socket.send(10, {"heartbeat_interval": self.heartbeat_interval, "_trace": []})
        try:
            async for frame in ws:
                if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                try:
                    payload = json.loads(frame.data)
                    op, d = payload["op"], payload["d"]
                except (ValueError, KeyError):
                    await ws.close(code=4002)
                    break
                if op == 1:
                    self.heartbeats += 1
                    if self.acknowledge:
                        await socket.send(11)
                elif op in (2, 6):
                    if session is not None:
                        await ws.close(code=4005)
                        break
                    session = await (self._identify(socket, d) if op == 2 else self._resume(socket, d))
                elif session is None:
                    await ws.close(code=4003)
                elif op not in (3, 4, 8, 31):  # presence, voice, members, soundboard: allowed, nothing to say
                    await ws.close(code=4001)
        finally:
            if session is not None and session.socket is socket:
                session.socket = None
            self.discord.changed()
        return ws

    async def _identify(self, socket: Socket, d: Json) -> Session | None:
        self.identifies.append(d)
        discord, code = self.discord, self.close_on_identify
        if code is None and d["token"].removeprefix("Bot ") != discord.token:
            code = 4004
        if code is None and d["intents"] & PRIVILEGED & ~discord.privileged:
            code = 4014
        if code is not None:
            await socket.ws.close(code=code)
            return None
        session = Session(token_hex(16), d["intents"], socket)
        self.sessions[session.id] = session
        await self._dispatch(
            session,
            "READY",
            {
                "v": 10,
                "user": discord.bot.json() | {"verified": True, "mfa_enabled": False, "email": None},
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in discord.guilds],
                "session_id": session.id,
                "resume_gateway_url": discord.gateway_url,
                "session_type": "normal",
                "application": {"id": str(discord.bot.id), "flags": 0},
                "shard": d.get("shard", [0, 1]),
                "private_channels": [],
                "relationships": [],
                "presences": [],
                "guild_join_requests": [],
                "user_settings": {},
                "geo_ordered_rtc_regions": [],
                "auth": {},
                "_trace": [],
            },
        )
        if session.intents & GUILDS:
            for guild in discord.guilds:
                await self._dispatch(session, "GUILD_CREATE", guild.json(discord.bot))
        discord.changed()
        return session

    async def _resume(self, socket: Socket, d: Json) -> Session | None:
        self.resumes.append(d)
        session = self.sessions.get(d["session_id"])
        if session is None or d["token"].removeprefix("Bot ") != self.discord.token:
            await socket.send(9, False)
            return None
        if d["seq"] is None or d["seq"] > len(session.log):
            await socket.ws.close(code=4007)
            return None
        session.socket = socket
        for payload in session.log[max(0, d["seq"] - self.replay) :]:
            await socket.send(0, payload["d"], payload["s"], payload["t"])
        await self._dispatch(session, "RESUMED", {"_trace": []})
        self.discord.changed()
        return session

    async def _dispatch(self, session: Session, event: str, data: Json) -> None:
        payload = {"t": event, "s": len(session.log) + 1, "d": data}
        session.log.append(payload)
        self.discord.events.append((event, data))
        if session.socket is not None:
            await session.socket.send(0, data, payload["s"], event)

    async def dispatch(self, event: str, data: Json | Callable[[Session], Json], *, intent: int = 0) -> None:
        """To every session that asked for it, connected or to be resumed."""
        for session in list(self.sessions.values()):
            if session.intents & intent == intent:
                await self._dispatch(session, event, data(session) if callable(data) else data)

    async def message(self, event: str, message: Message) -> None:
        intent = DM_MESSAGES if message.channel.type == DM else GUILD_MESSAGES
        bot = self.discord.bot
        await self.dispatch(
            event,
            lambda session: message.event(bot, blind=not session.intents & MESSAGE_CONTENT),
            intent=intent,
        )

    async def reaction(self, event: str, message: Message, data: Json) -> None:
        guild = message.channel.guild
        where: Json = {"channel_id": str(message.channel.id), "message_id": str(message.id)}
        where |= {"guild_id": str(guild.id)} if guild else {}
        await self.dispatch(event, where | data, intent=GUILD_REACTIONS if guild else DM_REACTIONS)

    # Ways to lose a connection.

    async def close(self, code: int) -> None:
        """A close frame; 4009 and the codes that end a session forget it."""
        for session in list(self.sessions.values()):
            if session.socket is not None:
                socket, session.socket = session.socket, None
                if code in (4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014):
                    del self.sessions[session.id]
                await socket.ws.close(code=code)

    async def reconnect(self) -> None:
        """Op 7: please come again and resume."""
        for session in list(self.sessions.values()):
            if session.socket is not None:
                await session.socket.send(7)

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Op 9: the session is over (or may be resumed)."""
        for session in list(self.sessions.values()):
            if not resumable:
                del self.sessions[session.id]
            if session.socket is not None:
                await session.socket.send(9, resumable)

    def abort(self) -> None:
        """The line is cut without a word."""
        for session in self.sessions.values():
            if session.socket is not None:
                session.socket.abort()

    async def hang_up(self) -> None:
        for session in list(self.sessions.values()):
            if session.socket is not None:
                await session.socket.ws.close(code=1001)
