"""Spans of a run, for whoever collects traces: ids, durations, token counts; never a word of anybody's text.

OpenTelemetry's API does nothing until a process sets up an exporter (`bot.telemetry`), so stages may always call this.
All spans of a run share one trace whatever process made them: its id is derived from the run's. Names follow the
conventions for generative AI: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

TRACER = "optr"
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
Attributes = dict[str, str | int]


def trace_id(run_id: str) -> int:
    """The 128-bit id of a run's trace."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16], "big")


@contextmanager
def step(name: str, run_id: str, node: str | None = None) -> Iterator[Span]:
    """A step of a run, or of one of its nodes; an error that leaves it marks the span and is told by its kind alone."""
    attributes: Attributes = {"optr.run": run_id}
    if node is not None:
        attributes["optr.node"] = node
    with _span(f"optr.{name}", attributes, SpanKind.INTERNAL, _parent(run_id)) as span:
        yield span


@contextmanager
def chat(model: str) -> Iterator[Span]:
    """One call of a model."""
    attributes: Attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
    with _span(f"chat {model}", attributes, SpanKind.CLIENT) as span:
        yield span


@contextmanager
def tool(name: str) -> Iterator[Span]:
    """One command in the sandbox."""
    attributes: Attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    with _span(f"execute_tool {name}", attributes, SpanKind.INTERNAL) as span:
        yield span


@contextmanager
def _span(name: str, attributes: Attributes, kind: SpanKind, parent: Span | None = None) -> Iterator[Span]:
    context = None if parent is None else trace.set_span_in_context(parent)
    # An exception's text may quote a repository or a model, so OpenTelemetry must not record it by itself.
    started = trace.get_tracer(TRACER).start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    )
    with started as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _parent(run_id: str) -> Span | None:
    """The run itself, as a span that nobody has to send: it outlives every process that works on it."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    identity = trace_id(run_id)
    context = SpanContext(identity, identity & 0xFFFF_FFFF_FFFF_FFFF or 1, is_remote=True, trace_flags=SAMPLED)
    return NonRecordingSpan(context)
