"""Runs in euler-onebot's environment: a OneBot on lagrange-python that is deliberately unlike NapCat.

Only QQ's network is taken away: what people do comes in as lagrange's own events, what the bot does ends in a
list.
"""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import lagrange
import onebot_pipe
from lagrange.client.events.friend import FriendMessage
from lagrange.client.events.group import GroupMessage, GroupReaction
from lagrange.client.message import elems

ACCOUNT = 123456789
sent = []


class Client:
    uin, uid = ACCOUNT, "u_bot"

    async def send_grp_msg(self, msg_chain, grp_id):
        return self.sent("group", grp_id, msg_chain)

    async def send_friend_msg(self, msg_chain, uid):
        return self.sent("user", uid, msg_chain)

    def sent(self, kind, where, chain):
        sent.append(
            {
                "kind": kind,
                "where": where,
                "chain": [[e.type, e.display] for e in chain],
                "seq": 900 + len(sent),
            }
        )
        return sent[-1]["seq"]

    async def get_user_info(self, uid):
        return SimpleNamespace(
            name="Alice", age=20, country="", province="", city="", sex=SimpleNamespace(name="notset")
        )

    async def get_grp_member_info(self, grp_id, uid):
        return SimpleNamespace(body=[SimpleNamespace(is_owner=False, is_admin=False, name=None, level=None)])


class Network:
    """In the place of `lagrange.Lagrange`, which would log in to QQ."""

    def __init__(self, *_):
        self.client = Client()
        self.handlers = {}
        self.log = SimpleNamespace(set_level=lambda level: None)

    def subscribe(self, event, handler):
        self.handlers[event] = handler

    async def run(self):
        await asyncio.Event().wait()


async def main():
    port = onebot_pipe.free_port()
    Path("appconfig.json").write_text(
        json.dumps(
            {
                "connections": [{"type": "ForwardWebSocket", "url": f"ws://127.0.0.1:{port}"}],
                "login": {"uin": ACCOUNT, "signer_url": "http://127.0.0.1:1", "signer_token": "x"},
                "heartbeat": {"enabled": True, "interval": 15000},
            }
        )
    )
    lagrange.Lagrange = Network
    from euleronebot.hyperogger import Logger

    Logger.create("euler", "CRITICAL", False)
    from euleronebot.onebot import Adapter
    from euleronebot.protocol import LagrangeProtocol, appconfig

    protocol = LagrangeProtocol(Adapter(appconfig.connections))
    running = asyncio.create_task(protocol.run())
    network, numbers = protocol.lag, iter(range(1, 1000))

    def chain(text, at):
        bot = [elems.At(text="@bot", uin=ACCOUNT, uid="u_bot")] if at else []
        return [*bot, elems.Text(text=text)]

    async def group(group, user, text, at=True):
        event = GroupMessage(
            uid=f"u_{user}",
            seq=next(numbers),
            time=int(time.time()),
            rand=1,
            grp_id=group,
            uin=user,
            grp_name="g",
            nickname="Alice",
            sub_id=0,
            sender_type=0,
            msg=text,
            msg_chain=chain(text, at),
        )
        await network.handlers[GroupMessage](network.client, event)

    async def private(user, text):
        event = FriendMessage(
            from_uin=user,
            from_uid=f"u_{user}",
            to_uin=ACCOUNT,
            to_uid="u_bot",
            seq=next(numbers),
            msg_id=1,
            timestamp=int(time.time()),
            msg=text,
            msg_chain=chain(text, False),
        )
        await network.handlers[FriendMessage](network.client, event)

    async def react(group, seq, user, emoji, added=True):
        event = GroupReaction(
            grp_id=group,
            uid=f"u_{user}",
            seq=seq,
            emoji_id=emoji,
            emoji_type=1,
            emoji_count=1,
            type=1 if added else 2,
            total_operations=1,
        )
        await network.handlers[GroupReaction](network.client, event)

    async def shown():
        return sent

    try:
        commands = (group, private, react, shown)
        await onebot_pipe.run(
            f"ws://127.0.0.1:{port}/", ACCOUNT, {command.__name__: command for command in commands}
        )
    finally:
        running.cancel()


asyncio.run(main())
