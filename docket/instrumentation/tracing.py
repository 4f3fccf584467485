"""Spans, and the link from where a task was added to where it runs.

Nothing is built, and nothing attached, until the application has set a tracer provider.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Protocol

from opentelemetry import context, propagate, trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode
from typing_extensions import Self

from .._version import __version__
from ..foundation.error_text import is_unwieldy, message_of
from . import subject
from .carrier import Carrier, message_getter, message_setter, packed, unpacked
from .subject import Subject

__all__ = [
    "Context",
    "Link",
    "Performing",
    "Span",
    "identifiers",
    "incoming",
    "is_traced",
    "links_to",
    "outgoing",
    "spanning",
    "spanning_redis",
    "suppressed",
]

Attributes = Mapping[str, str | int]

_client = trace.get_tracer("docket.docket", __version__)
_worker = trace.get_tracer("docket.worker", __version__)

_SUPPRESS_IN_OLD_VERSIONS = "suppress_instrumentation"
_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
_ROOT = Context()


class LinkedSubject(Subject, Protocol):
    """An execution, as its span shows it."""

    def incoming_span_links(self) -> list[Link]:
        """Return links to the span in which it was added."""
        ...


def is_traced() -> bool:
    """Return True if the application has set a tracer provider."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def spanning(name: str, attributes: Callable[[], Attributes]) -> AbstractContextManager[Span]:
    """Open a span of the client for the length of a block; an error that leaves the block is shown in it.

    Arguments:
        name: what is done.
        attributes: gives what it is done to; not asked where there is no tracer provider.
    """
    if not is_traced():
        return _NOTHING
    return _client.start_as_current_span(name, attributes=attributes())


def spanning_redis(commands: Sequence[str]) -> AbstractContextManager[Span]:
    """Open a span of one round trip to Redis, for the length of a block.

    Arguments:
        commands: the names of the commands that go together.
    """
    if not is_traced():
        return _NOTHING
    names = list(dict.fromkeys(commands))
    attributes: Attributes = {
        "db.system.name": "redis",
        "db.operation.name": " ".join(names),
        "db.operation.batch.size": len(commands),
    }
    name = names[0] if len(names) == 1 else "PIPELINE"
    return _client.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes)


def outgoing() -> str:
    """Return the trace that we are in, to ride with an execution; empty outside of any."""
    if not context.get_current():
        return ""
    carrier: Carrier = {}
    propagate.inject(carrier, setter=message_setter)
    return packed(carrier)


def incoming(trace_text: str) -> Context | None:
    """Return the trace of an add, from the output of ``outgoing``; None if there was none."""
    if not trace_text:
        return None
    return propagate.extract(unpacked(trace_text), context=_ROOT, getter=message_getter)


def links_to(trace_context: Context | None) -> list[Link]:
    """Return the link to the span of another context, unless there is none."""
    if trace_context is None:
        return []
    origin = trace.get_current_span(trace_context).get_span_context()
    return [Link(origin)] if origin.is_valid else []


def identifiers() -> Mapping[str, str]:
    """Return the trace and the span that we are in, as logs name them; empty outside of any."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(span.trace_id),
        "span_id": trace.format_span_id(span.span_id),
    }


class Performing:
    """One run as logs and traces see it, for the length of a block.

    Log messages are about it, and its span is the current one while the task runs. The span is the root of
    a trace of its own, linked to the one that the task was added in. What surrounds the worker, such as
    the silence about its own traffic, does not reach the task.

    Arguments:
        execution: what runs.
        labels: those of the worker.
    """

    __slots__ = ("_execution", "_labels", "_span", "_subject", "_token")

    def __init__(self, execution: LinkedSubject, labels: Mapping[str, str]) -> None:
        self._execution = execution
        self._labels = labels
        self._span: Span = INVALID_SPAN

    def __enter__(self) -> Self:
        self._subject = subject.current.set((self._execution, self._labels))
        if is_traced():
            execution = self._execution
            self._span = _worker.start_span(
                execution.function_name,
                context=_ROOT,
                kind=SpanKind.CONSUMER,
                attributes={
                    **self._labels,
                    **execution.specific_labels(),
                    "code.function.name": execution.function_name,
                },
                links=execution.incoming_span_links(),
            )
            self._token = context.attach(trace.set_span_in_context(self._span, _ROOT))
        return self

    def conclude(self, error: BaseException | None) -> None:
        """Record in the span how the run has ended.

        Arguments:
            error: what the task raised; None where it returned, was cancelled or not admitted.
        """
        if self._span is INVALID_SPAN:
            return
        if error is None:
            self._span.set_status(Status(StatusCode.OK))
        else:
            # An exception that cannot speak must not stop the worker, nor one that says too much.
            with suppress(BaseException):
                if not is_unwieldy(error):
                    self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, message_of(error)))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is not INVALID_SPAN:
            context.detach(self._token)
            self._span.end()
        subject.current.reset(self._subject)


@contextmanager
def suppressed(*, unless: bool = False) -> Generator[None, None, None]:
    """Keep instrumented libraries, such as redis-py, from making spans for the length of a block.

    Arguments:
        unless: do nothing.
    """
    if unless:
        yield
        return
    silent = context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True)
    silent = context.set_value(_SUPPRESS_IN_OLD_VERSIONS, True, silent)
    token = context.attach(silent)
    try:
        yield
    finally:
        context.detach(token)
