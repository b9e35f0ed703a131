"""The connection to Redis, and the one catch around it.

redis-py tries a command again by itself when a reply was lost. Plain RPUSH or MULTI then write twice, so
every write of ours is one Lua call that may be repeated: it finds out that it has been done.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from bot.errors import ConfigurationError, StorageUnavailable

Argument = str | int | float | bytes


class Script:
    """A Lua script, called by its hash; the server is sent the text when it does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_ERRORS = (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError)
Call = tuple[Script, Sequence[str], Sequence[Argument]]


class Store:
    """Redis, with our error. Everything under `memory/` and `feedback/` goes through it."""

    def __init__(self, client: redis.asyncio.Redis | RedisCluster) -> None:
        self.client = client

    async def run(self, script: Script, keys: Sequence[str], *args: Argument) -> Any:
        """One Lua call. Raises `StorageUnavailable`."""
        (answer,) = await self.run_all((script, keys, args))
        return answer

    async def run_all(self, *calls: Call) -> list[Any]:
        """Lua calls in their order, in one round trip (a cluster, where they go to several servers, takes one
        each). Together they are no transaction. Raises `StorageUnavailable`.
        """
        try:
            try:
                return await self._send("EVALSHA", calls)
            except redis.exceptions.NoScriptError:
                return await self._send("EVAL", calls)  # again from the first: each may be repeated
        except _ERRORS as error:
            raise _unavailable(error) from error

    async def _send(self, command: str, calls: Sequence[Call]) -> list[Any]:
        commands = [
            (command, script.sha if command == "EVALSHA" else script.text, len(keys), *keys, *args)
            for script, keys, args in calls
        ]
        if len(commands) == 1 or isinstance(self.client, RedisCluster):
            return [await self.client.execute_command(*each) for each in commands]
        pipeline = self.client.pipeline(transaction=False)
        for each in commands:
            pipeline.execute_command(*each)
        return list(await pipeline.execute())

    async def do(self, *command: Argument) -> Any:
        """One plain command that reads, or that may be repeated. Raises `StorageUnavailable`."""
        try:
            return await self.client.execute_command(*command)
        except _ERRORS as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        await self.client.aclose()


def connect(*, url: str | None = None, socket: str | None = None, cluster: bool = False) -> Store:
    """A store on a server's URL (`redis://`, `rediss://`, `unix://`) or on a unix socket. Connects at its
    first use.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), 6),
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 15,
        "protocol": 2,
    }
    try:
        if cluster and url:
            del options["retry"], options["health_check_interval"]
            return Store(RedisCluster.from_url(url, **options))
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url or f"unix://{socket}", max_connections=64, timeout=5, **options
        )
    except ValueError as error:
        # What is wrong may be the password: it is not repeated, neither here nor in a chain.
        raise ConfigurationError(
            "`CHATNVL_REDIS__URL` is no Redis address such as `redis://:password@host:6379/0`; "
            "special characters in the password are written as %2F and so on"
        ) from (None if url else error)
    return Store(redis.asyncio.Redis.from_pool(pool))


def _unavailable(error: Exception) -> StorageUnavailable:
    reason = str(error) or type(error).__name__
    return StorageUnavailable(f"the memory (Redis) cannot be reached or does not write: {reason}")
