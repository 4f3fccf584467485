"""A server of FastMCP 2 with resources and prompts as tasks; prints what a client of it found."""

from __future__ import annotations

import asyncio
import json

from fastmcp import Client, FastMCP
from fastmcp.client.tasks import ToolTask
from fastmcp.dependencies import CurrentDocket, Depends, Progress
from fastmcp.exceptions import ToolError

from docket import Docket

mcp = FastMCP("Shop")


async def orders() -> dict[str, int]:
    """What was sold."""
    return {"Kettle": 31, "Cup": 104}


@mcp.tool(task=True)
async def sales_report(
    seconds_per_product: float,
    progress: Progress = Progress(),
    sold: dict[str, int] = Depends(orders),
    home: Docket = CurrentDocket(),
) -> dict[str, int | str]:
    """Add up what was sold, product by product."""
    await progress.set_total(len(sold))
    for product in sold:
        await progress.set_message(f"Adding up {product}")
        await asyncio.sleep(seconds_per_product)
        await progress.increment()
    return {"sold": sum(sold.values()), "docket": home.name}


@mcp.tool(task=True)
async def audit() -> str:
    """Fail."""
    raise ValueError("the books are closed")


@mcp.resource("shop://months", task=True)
async def months() -> str:
    """The months that there are orders of."""
    return "January, February"


@mcp.prompt(task=True)
async def best(month: str) -> str:
    """Ask for the best product."""
    return f"What sold best in {month}?"


async def until(task: ToolTask, *states: str) -> list[tuple[str, str | None]]:
    """How a task stands, until it stands like this: the client hears of it, and does not ask again."""
    seen: list[tuple[str, str | None]] = []
    while True:
        status = await task.status()
        now = (status.status, status.statusMessage)
        if now not in seen and now != ("working", None):
            seen.append(now)
        if status.status in states:
            return seen
        await asyncio.sleep(0.01)


async def main() -> None:
    found: dict[str, object] = {}
    async with Client(mcp) as client:
        task = await client.call_tool("sales_report", {"seconds_per_product": 0.3}, task=True)
        found["status"] = await until(task, "completed", "failed")
        found["result"] = (await task.result()).data

        failing = await client.call_tool("audit", task=True)
        state = (await failing.wait(timeout=10)).status
        try:
            await failing.result()
        except ToolError as error:
            found["failed"] = [state, str(error)]

        long = await client.call_tool("sales_report", {"seconds_per_product": 60}, task=True)
        while not (await long.status()).statusMessage:
            await asyncio.sleep(0.01)
        await long.cancel()
        found["cancelled"] = (await long.wait(timeout=10)).status

        resource = await client.read_resource("shop://months", task=True)
        found["resource"] = (await resource.result())[0].text
        prompt = await client.get_prompt("best", {"month": "January"}, task=True)
        found["prompt"] = (await prompt.result()).messages[0].content.text
    print(json.dumps(found))


asyncio.run(main())
