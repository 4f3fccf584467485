"""Requests that a supervisor answers over its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias, cast

from ...errors import OperatorError
from ...foundation.service import end
from ..reload.deeds import Asker, SupervisorDeeds
from ..reload.reloader import Reloader, ReloadOutcome
from ..reload.restarter import Restarter
from .server import Answer, Misunderstood, Request

Change: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]

MOST: Final = 64
"""Maximum number of processes added to each pool, or taken from it, at a time."""


class Requests:
    """The answers to requests.

    Arguments:
        reloader: replaces the configuration.
        restarter: replaces processes by such as run the code as it is now.
        status: the state of the supervisor.
        is_up: returns whether it may change anything now.
        reload: asks to read the files again, soon.
        deeds: carries out what is asked for, and writes it down.
    """

    def __init__(
        self,
        reloader: Reloader,
        restarter: Restarter,
        status: Callable[[], Mapping[str, Any]],
        is_up: Callable[[], bool],
        reload: Callable[[Asker], None],
        deeds: SupervisorDeeds,
    ) -> None:
        self._reloader = reloader
        self._restarter = restarter
        self._status = status
        self._is_up = is_up
        self._ask_to_reload = reload
        self._deeds = deeds
        self._changes: set[asyncio.Task[Any]] = set()

    @property
    def answers(self) -> dict[str, Answer]:
        """The functions that answer, by the word of the request."""
        return {
            "status": self._tell,
            "reload": self._reload,
            "apply": self._apply,
            "rollback": self._roll_back,
            "scale": self._scale,
            "restart": self._restart,
        }

    async def stop(self) -> None:
        """End the changes that are under way: the supervisor stops."""
        for change in list(self._changes):
            await end(change)

    async def _tell(self, _: Request) -> Mapping[str, Any]:
        # In a thread, because it looks at the files of the code.
        return await asyncio.to_thread(self._status)

    async def _reload(self, request: Request) -> Mapping[str, Any]:
        allow_removals = _flag(request, "allow_removals")
        if _flag(request, "wait"):
            reload = self._reloader.reload
            return await self._change(
                request, lambda: reload(is_asked=True, allow_removals=allow_removals)
            )
        self._refuse_unless_up()
        self._ask_to_reload(_asker(request))
        return {"result": "asked"}

    async def _apply(self, request: Request) -> Mapping[str, Any]:
        base = _whole(request, "revision"), _text(request, "base")
        target, allow_removals = _text(request, "target"), _flag(request, "allow_removals")
        apply = self._reloader.reload_planned
        return await self._change(
            request, lambda: apply(base, target, allow_removals=allow_removals)
        )

    async def _roll_back(self, request: Request) -> Mapping[str, Any]:
        number = _whole(request, "revision")
        return await self._change(request, lambda: self._reloader.rollback(number), to=number)

    async def _scale(self, request: Request) -> Mapping[str, Any]:
        by = _whole(request, "by")
        if not -MOST <= by <= MOST:
            raise Misunderstood(f"by: expected a number from -{MOST} to {MOST}, found {by:.3g}")
        return await self._change(request, lambda: self._reloader.scale(by), by=by)

    async def _restart(self, request: Request) -> Mapping[str, Any]:
        self._refuse_unless_up()
        asked, waits, _ = _texts(request, "pools"), _flag(request, "wait"), _asker(request)
        if missing := self._restarter.why_not(asked):
            return {"result": "not_found", "message": missing}
        pools = self._restarter.accept(asked)
        carry_out = self._restarter.carry_out
        if waits:
            return await self._change(request, lambda: carry_out(pools), pools=pools)
        self._begin(request, lambda: carry_out(pools), pools=pools)
        return {"result": "accepted", "pools": pools}

    async def _change(self, request: Request, change: Change, **about: Any) -> Mapping[str, Any]:
        """Make a change that goes on if no one waits for it any longer, but not if the supervisor stops."""
        self._refuse_unless_up()
        changing = self._begin(request, change, **about)
        await asyncio.wait({changing})
        if changing.cancelled():
            raise OperatorError("the supervisor stops, and what was asked for was given up")
        found = changing.result()
        return asdict(found) if isinstance(found, ReloadOutcome) else {"processes": found}

    def _begin(self, request: Request, change: Change, **about: Any) -> asyncio.Task[Any]:
        """Begin a change, which ends when the supervisor stops."""
        carried_out = self._deeds.asked(request["ask"], _asker(request), change, **about)
        changing = asyncio.create_task(carried_out)
        self._changes.add(changing)
        changing.add_done_callback(self._changes.discard)
        return changing

    def _refuse_unless_up(self) -> None:
        if not self._is_up():
            raise OperatorError("the supervisor starts or stops: nothing is changed now")


def _asker(request: Request) -> Asker:
    """Return who asks: programs that do not say so are older than the audit."""
    said = {name: request.get(name, "") for name in Asker._fields}
    return Asker(**{name: _text(said, name) for name in said})


def _flag(request: Request, name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise Misunderstood(f"{name}: expected true or false, found {value!r:.80}")
    return value


def _whole(request: Request, name: str) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misunderstood(f"{name}: expected a whole number, found {value!r:.80}")
    return value


def _text(request: Request, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise Misunderstood(f"{name}: expected a string, found {value!r:.80}")
    return value


def _texts(request: Request, name: str) -> list[str]:
    value = request.get(name, [])
    if not isinstance(value, list) or not all(
        isinstance(one, str) for one in cast(list[Any], value)
    ):
        raise Misunderstood(f"{name}: expected a list of strings, found {value!r:.80}")
    return cast(list[str], value)
