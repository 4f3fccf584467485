"""An MCP server whose slow tool runs in the background, on Docket.

FastMCP finds Docket under the name ``pydocket``, which ``companion/`` provides::

    pip install ".[local]" ./companion fastmcp fastmcp-tasks
    python examples/mcp_server.py

This serves over stdio, and keeps its tasks in memory. With ``FASTMCP_DOCKET_URL=redis://localhost:6379/0``
tasks outlive the server, and ``python -m fastmcp_tasks.worker_cli worker examples/mcp_server.py`` adds
workers.
"""

from __future__ import annotations

import asyncio

from fastmcp import FastMCP
from fastmcp.dependencies import Progress
from fastmcp.exceptions import ToolError
from fastmcp_tasks import TasksExtension
from pydantic import BaseModel

ORDERS = {
    "2026-01": {"Kettle": 31, "Teapot": 12},
    "2026-02": {"Kettle": 28, "Teapot": 19, "Cup": 104},
}
"""What the shop sold, by month."""

mcp = FastMCP("Shop")
mcp.add_extension(TasksExtension())


class Report(BaseModel):
    """What was sold in a month."""

    month: str
    sold: int
    best: str


@mcp.tool(task=True)
async def sales_report(
    month: str,
    seconds_per_product: float = 0.5,
    progress: Progress = Progress(),  # noqa: B008 - a dependency as a default is a declaration
) -> Report:
    """Add up what was sold in a month, product by product: the client gets a handle at once, and polls."""
    if month not in ORDERS:
        raise ToolError(f"no orders in {month}: there are {', '.join(ORDERS)}")
    orders = ORDERS[month]
    best = max(orders, key=lambda product: orders[product])
    await progress.set_total(len(orders))
    for product in orders:
        await progress.set_message(f"Adding up {product}")
        await asyncio.sleep(seconds_per_product)
        await progress.increment()
    return Report(month=month, sold=sum(orders.values()), best=best)


@mcp.tool
async def months() -> list[str]:
    """The months that there are orders of: a fast tool, answered at once."""
    return list(ORDERS)


if __name__ == "__main__":
    mcp.run()
