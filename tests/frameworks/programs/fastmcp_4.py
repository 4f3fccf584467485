"""Does with the server of examples/mcp_server.py what its clients do; prints what it found."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from pathlib import Path

import fastmcp
from fastmcp import Client
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import is_docket_available
from fastmcp_tasks.client import ToolTask, call_tool_task
from fastmcp_tasks.dependencies import CurrentDocket, CurrentWorker
from mcp.shared.exceptions import MCPError
from mcp_server import mcp

import docket


@mcp.tool(task=True)
async def audit() -> str:
    """Fail as a protocol asks to: the task itself fails, not its tool."""
    raise MCPError(code=-32050, message="the books are closed", data={"since": "2026-01"})


@mcp.tool(task=True)
async def whereabouts(
    home: docket.Docket = CurrentDocket(),
    worker: docket.Worker = CurrentWorker(),
    key: str = docket.TaskKey(),
) -> dict[str, bool]:
    """Mix the dependencies of both: FastMCP resolves its own, Docket its own."""
    execution = await home.get_execution(key)
    return {"runs": execution is not None and execution.worker == worker.name}


async def messages(task: ToolTask) -> list[str]:
    """What a client that polls reads until the task has ended."""
    read: list[str] = []
    while (status := await task.status()).status == "working":
        if status.status_message and status.status_message not in read:
            read.append(status.status_message)
        await asyncio.sleep(0.01)
    return [*read, status.status]


async def main() -> None:
    found: dict[str, object] = {
        "fastmcp": fastmcp.__version__,
        "pydocket": importlib.metadata.version("pydocket"),
        "files of pydocket": [
            str(file)
            for file in importlib.metadata.files("pydocket") or ()
            if ".dist-info" not in str(file)
        ],
        "docket": str(Path(docket.__file__).parent.parent),
        "available": is_docket_available(),
    }
    async with Client(mcp) as client:
        found["at once"] = (await client.call_tool("months")).data

        report = {"month": "2026-02", "seconds_per_product": 0.2}
        task = await call_tool_task(client, "sales_report", report)
        found["status"] = await messages(task)
        found["result"] = (await task.result()).structured_content
        found["driven by the client"] = (
            await client.call_tool("sales_report", {**report, "seconds_per_product": 0})
        ).structured_content

        refused = await call_tool_task(client, "sales_report", {"month": "1999-01"})
        try:
            await refused.result()
        except ToolError as error:
            found["refused"] = str(error)

        failed = await call_tool_task(client, "audit", {})
        found["failed"] = await messages(failed)
        found["error"] = (await failed.status()).error

        long = await call_tool_task(client, "sales_report", {**report, "seconds_per_product": 60})
        while (await long.status()).status_message is None:
            await asyncio.sleep(0.01)
        await long.cancel()
        found["cancelled"] = await messages(long)

        found["mixed"] = (await client.call_tool("whereabouts")).structured_content
        both = [await call_tool_task(client, "sales_report", report) for _ in range(2)]
        found["concurrent"] = [(await one.result()).structured_content["sold"] for one in both]
    print(json.dumps(found))


asyncio.run(main())
