"""Traces to a collector, by OpenTelemetry's own exporter; off unless OPTR_OTLP_ENDPOINT is set."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.errors import OptrError

SERVICE = "optr"


@contextmanager
def tracing_to(endpoint: str | None) -> Iterator[None]:
    """Send the spans of this process to `endpoint` until the context ends; what waits is sent before it does.

    Once in a process: OpenTelemetry keeps one provider. A collector that is down costs its spans and nothing else.

    Raises:
        OptrError: the extra `otel` is not installed.
    """
    if endpoint is None:
        yield
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415 - only who wants traces pays for it
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise OptrError(
            "traces cannot be sent", where="OPTR_OTLP_ENDPOINT", remedy="Run `pip install 'optr[otel]'`, or unset it"
        ) from None
    provider = TracerProvider(resource=Resource({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
