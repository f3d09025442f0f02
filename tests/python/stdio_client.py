"""Talks to a program over stdio with the official Python SDK and prints, line by line as JSON, what comes.

usage: stdio_client.py MODE TOOL ARGUMENTS PROGRAM [ARGUMENT...]
MODE is `auto` (the newest protocol, by discovery) or `legacy` (initialize). The program gets this one's environment.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters


def say(**what) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    mode, tool, arguments, program, *rest = sys.argv[1:]

    async def on_progress(value, total, message):
        say(progress=value, message=message)

    server = StdioServerParameters(command=program, args=rest, env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        say(tools=[t.name for t in (await client.list_tools()).tools])
        result = await client.call_tool(tool, json.loads(arguments), progress_callback=on_progress)
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        say(is_error=bool(result.is_error), text=text)


asyncio.run(main())
