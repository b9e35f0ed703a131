"""Runs in ncatbot's environment: its mock of NapCat, a OneBot server that remembers what was sent."""

import asyncio

import onebot_pipe
from ncatbot.utils.testing.mock_server.server import NapCatMockServer

ACCOUNT = 123456789


async def main():
    port = onebot_pipe.free_port()
    async with NapCatMockServer(host="127.0.0.1", port=port) as mock:

        async def group(group, user, message, id=None):
            await mock.inject_group_message(group, user, message, id)

        async def private(user, message, id=None):
            await mock.inject_private_message(user, message, id)

        async def event(event):
            await mock.inject_event({"self_id": ACCOUNT, "time": 1755000000, **event})

        async def calls(action):
            return mock.get_calls_for_action(action)

        async def answer(action, response):
            mock.set_response(action, response)

        async def history(group):
            return mock.database.get_group_msg_history(str(group), 20)

        async def shown_but_failed(action):
            """As NapCat does it: the message is there, and the answer says that it is not."""

            def respond(action, params):
                mock.api_handler.handle_request(action, params)
                return {"status": "failed", "retcode": 1200, "data": None, "message": "Timeout"}

            mock.set_response(action, respond)

        commands = (group, private, event, calls, answer, history, shown_but_failed)
        await onebot_pipe.run(
            f"ws://127.0.0.1:{port}/", ACCOUNT, {command.__name__: command for command in commands}
        )


asyncio.run(main())
