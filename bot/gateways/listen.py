"""A door for the gateways that others connect to: who may knock, the port, and serving until told to stop."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from bot.errors import ConfigurationError

SHORTEST_TOKEN = 16
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 50_000}


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_token(name: str, host: str, token: str | None) -> None:
    """Refuse a door that strangers could walk through."""
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
        raise ConfigurationError(f"{name}: a token is made of visible ASCII characters; set another one")
    if is_loopback(host):
        return
    if token is None:
        raise ConfigurationError(
            f"{name}: listening on {host!r} lets other machines in; set a token, or listen on 127.0.0.1"
        )
    if len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"{name}: the token is too short to listen on {host!r}; use {SHORTEST_TOKEN} characters or more"
        )


def listen(name: str, host: str, port: int) -> socket.socket:
    """Take the port now, so that a taken one is one clear line at start."""
    bare = host.strip("[]")
    try:
        listener = socket.create_server(
            (bare, port), family=socket.AF_INET6 if ":" in bare else socket.AF_INET
        )
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"{name}: cannot listen on {host}:{port}: {reason}; free the port or set another one"
        ) from error
    # A peer that lost its power says no goodbye: without probes, which accepted sockets inherit, it would be
    # connected for hours. Hypercorn's own pings outlive their connection and would delay every stop.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name_of, value in KEEPALIVE.items():
        if hasattr(socket, name_of):  # not every system has each of them
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name_of), value)
    return listener


async def serve(app: Any, listener: socket.socket, closing: Callable[[], Awaitable[object]]) -> None:
    """Serve an ASGI app on a socket from `listen` until `closing` returns."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = 1
    await hypercorn_serve(app, config, shutdown_trigger=closing)


async def within(seconds: float, stop: asyncio.Event) -> bool:
    """Sleep, unless stopped: True when `stop` came first."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
