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


class Store:
    """Redis, with our error. Everything under `memory/` and `feedback/` goes through it."""

    def __init__(self, client: redis.asyncio.Redis | RedisCluster) -> None:
        self.client = client

    async def run(self, script: Script, keys: Sequence[str], *args: Argument) -> Any:
        """One Lua call. Raises `StorageUnavailable`."""
        try:
            try:
                return await self.client.evalsha(script.sha, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                return await self.client.eval(script.text, len(keys), *keys, *args)
        except (redis.exceptions.RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def do(self, *command: Argument) -> Any:
        """One plain command that reads, or that may be repeated. Raises `StorageUnavailable`."""
        try:
            return await self.client.execute_command(*command)
        except (redis.exceptions.RedisError, OSError) as error:
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
        raise ConfigurationError(f"`CHATNVL_REDIS__URL` is no Redis address: {error}") from error
    return Store(redis.asyncio.Redis.from_pool(pool))


def _unavailable(error: Exception) -> StorageUnavailable:
    reason = str(error) or type(error).__name__
    return StorageUnavailable(f"the memory (Redis) cannot be reached or does not write: {reason}")
