"""Calls one tool with the official Python SDK and prints, as one JSON line, what came and when.

usage: call_tool.py URL TOKEN MODE READ_TIMEOUT TOOL ARGUMENTS
MODE is `auto` (the newest protocol, by discovery) or `legacy` (initialize and a session). READ_TIMEOUT is how long, in
seconds, the client's HTTP library waits for the next byte.
"""

import asyncio
import json
import sys
import time

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    url, token, mode, read_timeout, tool, arguments = sys.argv[1:7]
    began = time.monotonic()
    progress = []

    async def on_progress(value, total, message):
        progress.append({"at": time.monotonic() - began, "progress": value, "total": total, "message": message})

    http = httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"},
        timeout=httpx2.Timeout(30.0, read=float(read_timeout)),
    )
    answer = {"is_error": None, "text": None, "failed": None}
    try:
        async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            result = await client.call_tool(tool, json.loads(arguments), progress_callback=on_progress)
            answer["is_error"] = bool(result.is_error)
            answer["text"] = "\n".join(getattr(block, "text", "") for block in result.content)
    except BaseException as error:  # noqa: BLE001 - whatever a client can suffer is an answer here
        answer["failed"] = repr(error)
    answer["seconds"] = time.monotonic() - began
    answer["progress"] = progress
    print(json.dumps(answer))


asyncio.run(main())
