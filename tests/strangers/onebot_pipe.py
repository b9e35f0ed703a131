"""Runs in a stranger's environment, beside his program: makes his OneBot server a client of the bot.

A pipe connects to his server and to the bot's reverse WebSocket with NapCat's headers. All payloads are his.
The test tells the peer what people do by lines of JSON on stdin, and gets one line back for each.
"""

import asyncio
import json
import socket
import sys

import websockets

ANSWERS, sys.stdout = sys.stdout, sys.stderr  # whatever his program prints is no answer


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def connect(url, **options):
    """His server may need a moment to listen."""
    for _ in range(200):
        try:
            return await websockets.connect(url, **options)
        except OSError:
            await asyncio.sleep(0.05)
    raise TimeoutError(url)


async def pipe(server, bot, account, token):
    headers = {"X-Self-ID": str(account), "x-client-role": "Universal", "Authorization": f"Bearer {token}"}
    there = await connect(server)
    here = await connect(bot, additional_headers=headers, user_agent_header="OneBot/11")

    async def pump(one, other):
        async for data in one:
            await other.send(data)

    await asyncio.gather(pump(there, here), pump(here, there))


async def obey(commands):
    """`{"do": NAME, ...}`: call that command with the rest."""
    print(json.dumps("ready"), file=ANSWERS, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        answer = await commands[request.pop("do")](**request)
        print(json.dumps(answer, default=str), file=ANSWERS, flush=True)


async def run(server, account, commands):
    piping = asyncio.create_task(pipe(server, sys.argv[1], account, sys.argv[2]))
    try:
        await obey(commands)
    finally:
        piping.cancel()
