"""Drives the official Python SDK, with its own time-outs, and prints, as one JSON line, what came.

usage: sdk.py MODE URL TOKEN all GATED FAILING DRAWING GATE
       sdk.py MODE URL TOKEN silent FILE NAME CALLBACK
MODE is `auto` (the newest protocol, by discovery) or `legacy` (initialize and a session).
`all` does what people do with it: GATED is a do-file that ends once the file GATE-NAME is there, NAME being its
argument; FAILING one that fails; DRAWING one that leaves an image.
`silent` runs a do-file that says nothing for minutes. With CALLBACK `patient` it asks for progress and to wait to the
end; with `plain` it does neither, and asks on as the answers say.
"""

import asyncio
import json
import pathlib
import re
import sys
import time

from mcp import Client
from mcp_types import PromptReference, ResourceTemplateReference
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client


def answer(result) -> dict:
    text = "\n".join(getattr(block, "text", "") for block in result.content)
    return {"isError": bool(result.is_error), "text": text}


async def everything(client, mode, gated, failing, drawing, gate) -> dict:
    said = {"tools": [tool.name for tool in (await client.list_tools()).tools], "progress": []}

    async def live(value, total, message):
        said["progress"].append({"progress": value, "message": message})
        pathlib.Path(f"{gate}-{mode}").touch()

    arguments = {"file_path": gated, "args": [mode], "wait": True}
    # Progress is live: the do-file ends only because of it.
    said["whole"] = answer(await client.call_tool("stata_run_file", arguments, progress_callback=live))
    said["failing"] = answer(await client.call_tool("stata_run_file", {"file_path": failing}))

    said["drawing"] = answer(await client.call_tool("stata_run_file", {"file_path": drawing, "args": [mode]}))
    run = re.search(r'stata_graph\(run: "([0-9a-f]{8})"\)', said["drawing"]["text"]).group(1)
    blocks = (await client.call_tool("stata_graph", {"run": run})).content
    said["images"] = [{"mimeType": b.mime_type, "data": b.data} for b in blocks if b.type == "image"]
    listed = answer(await client.call_tool("stata_files", {"run": run}))
    path = re.search(r"^data: (.*)$", said["drawing"]["text"], re.MULTILINE).group(1)
    said["around"] = {
        "files": listed,
        "file": answer(await client.call_tool("stata_files", {"run": run, "name": "notes.csv"})),
        "results": answer(await client.call_tool("stata_results", {"run": run})),
        "matrix": answer(await client.call_tool("stata_results", {"run": run, "name": "e(V)"})),
        "described": answer(await client.call_tool("stata_data", {"path": path})),
        "rows": answer(await client.call_tool("stata_data", {"path": path, "action": "rows", "vars": ["x"], "in": "2/3"})),
        "help": answer(await client.call_tool("stata_help", {"topic": "regress"})),
        "no_help": answer(await client.call_tool("stata_help", {"topic": "no such topic"})),
    }

    async def under_way(name):
        seen = asyncio.get_running_loop().create_future()

        async def heard(value, total, message):
            short = re.search(r"^running.* ([0-9a-f]{8})$", message)
            if short and not seen.done():
                seen.set_result(short.group(1))

        arguments = {"file_path": gated, "args": [name], "wait": True}
        call = asyncio.create_task(client.call_tool("stata_run_file", arguments, progress_callback=heard))
        return await seen, call

    # Cancelled through the tool, while the first call waits.
    run, call = await under_way(f"{mode}-endless")
    said["cancel"] = answer(await client.call_tool("stata_cancel", {"run": run}))
    said["cancelled"] = answer(await call)

    # Withdrawn: the client does not wait any more, and the run goes on.
    run, call = await under_way(f"{mode}-left")
    call.cancel()
    try:
        said["withdrawn"] = answer(await call)
    except asyncio.CancelledError:
        said["withdrawn"] = {"message": "cancelled"}
    said["still"] = answer(await client.call_tool("stata_wait", {"runs": run, "seconds": 1}))
    pathlib.Path(f"{gate}-{mode}-left").touch()
    said["found"] = answer(await client.call_tool("stata_wait", {"runs": run}))

    prompts = (await client.list_prompts()).prompts
    said["prompts"] = [prompt.name for prompt in prompts]
    asked = await client.get_prompt("run_and_explain", {"do_file": failing})
    said["prompt"] = asked.messages[0].content.text
    beginning = {"name": "do_file", "value": failing[:-4]}
    offered = await client.complete(PromptReference(type="ref/prompt", name="run_and_explain"), beginning)
    said["completed"] = offered.completion.values
    template = ResourceTemplateReference(type="ref/resource", uri="longhaul://runs/{id}")
    offered = await client.complete(template, {"name": "id", "value": run[:4]})
    said["ids"] = [run[:4], *offered.completion.values]

    try:
        said["unknown"] = answer(await client.call_tool("no_such_tool", {}))
    except Exception as error:  # noqa: BLE001 - whatever the client makes of it
        said["unknown"] = {"message": str(error)}
    return said


async def silent(client, file, name, callback) -> dict:
    said = {"calls": 0, "longest": 0.0, "beats": 0}

    async def beat(value, total, message):
        said["beats"] += 1

    async def timed(tool, arguments, **more):
        began = time.monotonic()
        got = answer(await client.call_tool(tool, arguments, **more))
        said["longest"] = max(said["longest"], time.monotonic() - began)
        said["calls"] += 1
        return got

    began = time.monotonic()
    arguments = {"file_path": file, "args": [name]}
    if callback == "patient":
        got = await timed("stata_run_file", {**arguments, "wait": True}, progress_callback=beat)
    else:
        got = await timed("stata_run_file", arguments)
    while run := re.search(r'stata_wait\(runs: "([0-9a-f]{8})"', got["text"]):
        got = await timed("stata_wait", {"runs": run.group(1)})
    return {**said, **got, "seconds": time.monotonic() - began}


async def main() -> None:
    mode, url, token, what, *rest = sys.argv[1:]
    http = create_mcp_http_client(headers={"Authorization": f"Bearer {token}"})
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        said = await (everything(client, mode, *rest) if what == "all" else silent(client, *rest))
    print(json.dumps(said))


asyncio.run(main())
