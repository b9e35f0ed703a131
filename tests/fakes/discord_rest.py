"""REST v10 of the fake Discord: the routes a chat bot uses, Discord's error codes, and faults on demand."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from tests.fakes.discord_shapes import DM, EPHEMERAL, LOADING, Channel, Json, Message, snowflake

if TYPE_CHECKING:
    from tests.fakes.discord import FakeDiscord, Interaction

LIMIT = 2000  # characters of a message
BODY = web.RequestKey("body", dict)
FILES = web.RequestKey("files", dict)  # of a form: name -> bytes
OPEN = ("/interactions/", "/webhooks/", "/gateway")  # need no bot token


@dataclass
class Call:
    method: str
    path: str
    body: Any
    query: dict[str, str]
    at: float
    status: int | None = None  # None: never answered
    answer: Any = None


@dataclass
class Fault:
    """What happens to the next `times` calls of a route.

    `kind` is an HTTP status (429 with Discord's `Via`), or "429 without via" (the proxy in front bans),
    "reset" (the line is cut before the request is done), "reset after" (done, then cut), "502 after" (done,
    then refused), "hang".
    """

    method: str
    path: str
    kind: int | str
    times: int
    retry_after: float


@dataclass
class Bucket:
    count: int
    seconds: float
    used: dict[str, list[float]] = field(default_factory=dict)


async def _body(request: web.Request) -> tuple[Any, dict[str, bytes]]:
    """JSON, or a form with `payload_json` and `files[n]` (Discord's reference, "Uploading Files")."""
    if request.content_type != "multipart/form-data":
        raw = await request.read()
        return (json.loads(raw) if raw and request.content_type == "application/json" else None), {}
    form = await request.post()
    files = {
        part.filename: part.file.read()
        for name, part in form.items()
        if name.startswith("files[") and isinstance(part, web.FileField)
    }
    return json.loads(str(form["payload_json"])), files


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        self.status = status
        self.body = {"message": message, "code": code} | ({"errors": errors} if errors else {})


def wrong(where: str, code: str, message: str) -> Refused:
    errors: Json = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(where.split(".")):
        errors = {key: errors}
    return Refused(400, 50035, "Invalid Form Body", errors)


def answer(body: Any = None, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    if body is None:
        return web.Response(status=204, headers=headers)
    # Discord says `application/json` without a charset, and libraries compare the whole value.
    data = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(
        body=data, status=status, headers={**(headers or {}), "Content-Type": "application/json"}
    )


class FakeRest:
    def __init__(self, discord: "FakeDiscord") -> None:
        self.discord = discord
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.buckets: dict[tuple[str, str], Bucket] = {}
        self.commands: list[Json] = []
        self.over = asyncio.Event()  # lets requests go that hang

    def routes(self) -> list[web.RouteDef]:
        channel, message = "/channels/{channel}", "/channels/{channel}/messages/{message}"
        commands, original = "/applications/{app}/commands", "/webhooks/{app}/{token}/messages/@original"
        return [
            web.route(method, "/api/v10" + path, handler)
            for method, path, handler in (
                ("GET", "/gateway", self.gateway),
                ("GET", "/gateway/bot", self.gateway),
                ("GET", "/users/@me", self.me),
                ("GET", "/oauth2/applications/@me", self.application),
                ("GET", "/applications/@me", self.application),
                ("POST", "/users/@me/channels", self.open_dm),
                ("GET", channel, self.channel),
                ("POST", channel + "/typing", self.typing),
                ("GET", channel + "/messages", self.history),
                ("POST", channel + "/messages", self.create),
                ("GET", message, self.message),
                ("PATCH", message, self.edit),
                ("DELETE", message, self.delete),
                ("PUT", message + "/reactions/{emoji}/@me", self.react),
                ("DELETE", message + "/reactions/{emoji}/@me", self.unreact),
                ("GET", commands, self.list_commands),
                ("PUT", commands, self.put_commands),
                ("POST", "/interactions/{interaction}/{token}/callback", self.callback),
                ("POST", "/webhooks/{app}/{token}", self.followup),
                ("GET", original, self.original),
                ("PATCH", original, self.edit_original),
                ("DELETE", original, self.delete_original),
            )
        ]

    @web.middleware
    async def door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Every call: written down, checked for its token, paced, and spoiled if a test asked for it."""
        if request.path.startswith("/gateway-socket"):
            return await self.discord.gateway.handle(request)
        path = unquote(request.raw_path.partition("?")[0]).removeprefix("/api/v10")
        body, files = await _body(request)
        call = Call(request.method, path, body, dict(request.query), time.monotonic())
        self.calls.append(call)
        fault = next((f for f in self.faults if f.times and self._matches(f.method, f.path, call)), None)
        if fault:
            fault.times -= 1
        kind = fault.kind if fault else None
        if kind == "hang":
            await self.over.wait()
        if kind == "reset" and request.transport:
            request.transport.abort()
        if kind in ("hang", "reset"):
            return web.Response(status=500)
        request[BODY] = body if isinstance(body, dict | list) else {}
        request[FILES] = files
        headers = self._paced(call)
        if fault and (kind == 429 or kind == "429 without via"):
            response = self._slow_down(fault.retry_after, via=kind == 429)
        elif isinstance(kind, int):
            response = answer({"message": f"{kind}: as the test asked", "code": 0}, kind)
        elif headers is None:
            response = self._slow_down(0.5, via=True)
        elif (
            not path.startswith(OPEN) and request.headers.get("Authorization") != f"Bot {self.discord.token}"
        ):
            response = answer({"message": "401: Unauthorized", "code": 0}, 401)
        else:
            try:
                response = await handler(request)
            except Refused as refused:
                response = answer(refused.body, refused.status)
            except web.HTTPNotFound:
                response = answer({"message": "404: Not Found", "code": 0}, 404)
            except (KeyError, ValueError) as error:  # a snowflake that is none, a field that is missing
                response = answer({"message": f"Invalid Form Body: {error!r}", "code": 50035}, 400)
            response.headers.update(headers)
        if kind == "reset after" and request.transport:
            request.transport.abort()
        elif kind == "502 after":
            response = web.Response(status=502, text="bad gateway")
        call.status = response.status
        if isinstance(response, web.Response) and isinstance(response.body, bytes) and response.status < 300:
            call.answer = json.loads(response.body or b"null")
        self.discord.changed()
        return response

    @staticmethod
    def _matches(method: str, pattern: str, call: Call) -> bool:
        same_depth = pattern.count("/") == call.path.count("/")  # `*` is one segment
        return method == call.method and same_depth and fnmatchcase(call.path, pattern)

    @staticmethod
    def _slow_down(retry_after: float, *, via: bool) -> web.Response:
        body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": False}
        headers = {"Retry-After": str(max(1, round(retry_after)))}
        return answer(
            body, 429, headers | ({"Via": "1.1 google", "X-RateLimit-Scope": "user"} if via else {})
        )

    def _paced(self, call: Call) -> dict[str, str] | None:
        """The rate limit headers of a route that has a limit; None when it is used up."""
        for (method, pattern), bucket in self.buckets.items():
            if not self._matches(method, pattern, call):
                continue
            key, now = call.path.split("/")[2], time.monotonic()
            used = [at for at in bucket.used.get(key, []) if now - at < bucket.seconds]
            bucket.used[key] = used
            if len(used) >= bucket.count:
                return None
            used.append(now)
            rest = bucket.seconds - (now - used[0])
            return {
                "X-RateLimit-Limit": str(bucket.count),
                "X-RateLimit-Remaining": str(bucket.count - len(used)),
                "X-RateLimit-Reset": f"{time.time() + rest:.3f}",
                "X-RateLimit-Reset-After": f"{rest:.3f}",
                "X-RateLimit-Bucket": f"{abs(hash((method, pattern))):x}",
            }
        return {}

    # Who and where.

    async def gateway(self, request: web.Request) -> web.Response:
        url = {"url": self.discord.gateway_url}
        if request.path.endswith("/gateway"):
            return answer(url)
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        return answer(url | {"shards": 1, "session_start_limit": limit})

    async def me(self, request: web.Request) -> web.Response:
        return answer(
            self.discord.bot.json()
            | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}
        )

    async def application(self, request: web.Request) -> web.Response:
        return answer(self.discord.application())

    async def open_dm(self, request: web.Request) -> web.Response:
        user = self.discord.users.get(int(request[BODY]["recipient_id"]))
        if user is None:
            raise Refused(400, 50033, "Invalid Recipient(s)")
        return answer(self.discord.dm_channel(user).json(self.discord.bot))

    def _channel(self, request: web.Request) -> Channel:
        channel = self.discord.channels.get(int(request.match_info["channel"]))
        if channel is None:
            raise Refused(404, 10003, "Unknown Channel")
        if not channel.visible:
            raise Refused(403, 50001, "Missing Access")
        return channel

    def _message(self, request: web.Request) -> Message:
        message = self._channel(request).messages.get(int(request.match_info["message"]))
        if message is None:
            raise Refused(404, 10008, "Unknown Message")
        return message

    async def channel(self, request: web.Request) -> web.Response:
        return answer(self._channel(request).json(self.discord.bot))

    async def typing(self, request: web.Request) -> web.Response:
        self.discord.typings.append(self._channel(request))
        return answer()

    # Messages.

    def _seen(self, message: Message) -> Json:
        return message.json(self.discord.bot, blind=self.discord.blind)

    async def history(self, request: web.Request) -> web.Response:
        messages = self._channel(request).messages
        limit, query = int(request.query.get("limit", 50)), request.query
        if not 1 <= limit <= 100:
            raise wrong("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        ids = sorted(messages)
        if "after" in query:
            ids = [each for each in ids if each > int(query["after"])][:limit]
        elif "before" in query:
            ids = [each for each in ids if each < int(query["before"])]
        return answer([self._seen(messages[each]) for each in reversed(ids[-limit:])])  # newest first

    async def message(self, request: web.Request) -> web.Response:
        return answer(self._seen(self._message(request)))

    def _checked(self, body: Json, *, edits: bool = False) -> Json:
        content = body.get("content")
        if content is not None and len(content) > LIMIT:
            raise wrong("content", "BASE_TYPE_MAX_LENGTH", f"Must be {LIMIT} or fewer in length.")
        if not edits and not (content or "").strip():
            raise Refused(400, 50006, "Cannot send an empty message")
        if len(str(body.get("nonce") or "")) > 25:
            raise wrong("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")
        for row in body.get("components") or []:
            for each in row["components"]:
                if (
                    each["type"] == 2
                    and each.get("style") != 5
                    and not 1 <= len(each.get("custom_id", "")) <= 100
                ):
                    raise wrong("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
                if not each.get("label") and not each.get("emoji"):
                    raise wrong("components", "BUTTON_COMPONENT_LABEL_OR_EMOJI", "A label or emoji is needed")
        return body

    @staticmethod
    def _components(body: Json) -> list[Json]:
        """Components come back with numbers of their own, and without what is null."""
        numbers = iter(range(1, 100))

        def kept(part: Json) -> Json:
            inner = {key: kept(value) if isinstance(value, dict) else value for key, value in part.items()}
            return {key: value for key, value in inner.items() if value is not None}

        return [
            row
            | {
                "id": next(numbers),
                "components": [kept(each) | {"id": next(numbers)} for each in row["components"]],
            }
            for row in body.get("components") or []
        ]

    async def create(self, request: web.Request) -> web.Response:
        files = request[FILES]
        channel, body = self._channel(request), self._checked(request[BODY], edits=bool(files))
        discord = self.discord
        if channel.type == DM and not channel.people[0].takes_dms:
            raise Refused(403, 50007, "Cannot send messages to this user")
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce"):
            for message in channel.messages.values():
                if message.nonce == nonce and message.author is discord.bot:
                    return answer(self._seen(message))
        reply_to, reference = None, body.get("message_reference")
        if reference:
            reply_to = channel.messages.get(int(reference["message_id"]))
            if reply_to is None and reference.get("fail_if_not_exists", True):
                raise wrong("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        message = Message(
            snowflake(),
            channel,
            discord.bot,
            (body.get("content") or "").strip(),
            attachments=tuple(_attachment(name, data) for name, data in files.items()),
            components=self._components(body),
            reply_to=reply_to,
            nonce=nonce,
            flags=body.get("flags", 0),
            allowed_mentions=body.get("allowed_mentions"),
        )
        discord.files |= {(message.id, name): data for name, data in files.items()}
        await discord.publish(message)
        return answer(self._seen(message))

    async def edit(self, request: web.Request) -> web.Response:
        message, body = self._message(request), self._checked(request[BODY], edits=True)
        if message.author is not self.discord.bot:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        self.change(message, body)
        await self.discord.gateway.message("MESSAGE_UPDATE", message)
        return answer(self._seen(message))

    def change(self, message: Message, body: Json) -> None:
        message.edited = time.time()
        if body.get("content") is not None:
            message.content = body["content"].strip()
            message.versions.append(message.content)
        if "components" in body:
            message.components = self._components(body)
        if "allowed_mentions" in body:
            message.allowed_mentions = body["allowed_mentions"]
        message.flags &= ~LOADING

    async def delete(self, request: web.Request) -> web.Response:
        await self.discord.delete(self._message(request))
        return answer()

    async def react(self, request: web.Request) -> web.Response:
        await self.discord.react(
            self._message(request), self.discord.bot, unquote(request.match_info["emoji"])
        )
        return answer()

    async def unreact(self, request: web.Request) -> web.Response:
        await self.discord.unreact(
            self._message(request), self.discord.bot, unquote(request.match_info["emoji"])
        )
        return answer()

    # Commands and interactions.

    async def list_commands(self, request: web.Request) -> web.Response:
        return answer(
            [{k: v for k, v in c.items() if not k.endswith("_localizations")} for c in self.commands]
        )

    async def put_commands(self, request: web.Request) -> web.Response:
        bot = str(self.discord.bot.id)
        defaults: Json = {"type": 1, "default_member_permissions": None, "nsfw": False, "contexts": None}
        self.commands = [
            defaults | command | {"id": str(snowflake()), "application_id": bot, "version": str(snowflake())}
            for command in request[BODY]
        ]
        return answer(self.commands)

    def _interaction(self, request: web.Request) -> "Interaction":
        token = request.match_info["token"]
        found = next((each for each in self.discord.interactions if each.token == token), None)
        if found is None:
            raise Refused(404, 10062, "Unknown interaction")
        return found

    async def callback(self, request: web.Request) -> web.Response:
        interaction, body = self._interaction(request), request[BODY]
        if interaction.response is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        if time.monotonic() - interaction.created > self.discord.patience:
            raise Refused(404, 10062, "Unknown interaction")
        kind, data = body["type"], body.get("data") or {}
        made: Message | None = None
        if kind in (4, 5):
            content = self._checked(data)["content"] if kind == 4 else ""
            flags = data.get("flags", 0) | (LOADING if kind == 5 else 0)
            made = Message(
                snowflake(),
                interaction.channel,
                self.discord.bot,
                content,
                flags=flags,
                components=self._components(data),
                versions=[content] if content else [],
            )
            interaction.answers.append(made)
        elif kind == 7:
            assert interaction.message is not None
            self.change(interaction.message, self._checked(data, edits=True))
        elif kind == 8:
            interaction.choices = data["choices"]
        interaction.response = kind
        if "with_response" not in request.query:
            return answer()
        reply: Json = {"interaction": {"id": str(interaction.id), "type": interaction.type}}
        if made:
            reply["interaction"] |= {
                "response_message_id": str(made.id),
                "response_message_loading": kind == 5,
                "response_message_ephemeral": bool(made.flags & EPHEMERAL),
            }
        if kind in (4, 7):
            message = made or interaction.message
            assert message is not None
            reply["resource"] = {"type": kind, "message": message.json(self.discord.bot)}
        return answer(reply)

    def _original(self, request: web.Request) -> Message:
        interaction = self._interaction(request)
        if interaction.response == 6 and interaction.message is not None:
            return interaction.message
        if not interaction.answers or interaction.answers[0].deleted:
            raise Refused(404, 10015, "Unknown Webhook")
        return interaction.answers[0]

    async def followup(self, request: web.Request) -> web.Response:
        interaction, body = self._interaction(request), self._checked(request[BODY])
        message = Message(
            snowflake(),
            interaction.channel,
            self.discord.bot,
            body["content"],
            flags=body.get("flags", 0),
            components=self._components(body),
            webhook=self.discord.bot.id,
            versions=[body["content"]],
        )
        interaction.answers.append(message)
        return answer(message.json(self.discord.bot))

    async def original(self, request: web.Request) -> web.Response:
        return answer(self._original(request).json(self.discord.bot))

    async def edit_original(self, request: web.Request) -> web.Response:
        message = self._original(request)
        self.change(message, self._checked(request[BODY], edits=True))
        return answer(message.json(self.discord.bot))

    async def delete_original(self, request: web.Request) -> web.Response:
        self._original(request).deleted = True
        return answer()


def _attachment(name: str, data: bytes) -> Json:
    id_ = snowflake()
    address = f"https://cdn.discordapp.com/attachments/1/{id_}/{name}"
    return {"id": str(id_), "filename": name, "size": len(data), "url": address, "proxy_url": address}
