"""What an operator sees of a race from outside: metrics and traces, and no word of anybody's text in either."""

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from bot.demo.prepare import demo_issue
from execution.tracing import trace_id
from tests.e2e.conftest import MakeService

TOKEN = "scrapers-token-0123456789"


class Collector:
    """Takes spans by OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        groups = [group for request in requests for group in request.resource_spans]
        return [span for group in groups for scope in group.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_race_is_counted_and_traced(
    make_service: MakeService, sample: dict[str, bytes], collector: Collector
) -> None:
    service = make_service()
    service.environ |= {"OPTR_METRICS_TOKEN": TOKEN, "OPTR_OTLP_ENDPOINT": collector.url}
    service.start()
    place = service.settle(sample)
    place.opened(place.ask())
    asked = urllib.request.Request(f"{service.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        page = answer.read().decode()
    run_id = place.lake().lines()[0]["run"]
    service.stop()  # what was not yet sent is sent now

    families = text_string_to_metric_families(page)
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples
    }
    assert samples["optr_deliveries_total", (("answer", "queued"), ("event", "issues"))] >= 1
    assert samples["optr_agent_attempts_total", (("outcome", "completed"), ("type", "openai-codex"))] == 1
    assert samples["optr_model_tokens_total", (("kind", "output"), ("type", "anthropic-claude"))] > 0
    assert samples["optr_open_runs", (("state", "in_review"),)] == 1

    spans = collector.spans()
    mine = [span for span in spans if span.trace_id == trace_id(run_id).to_bytes(16, "big")]
    names = {span.name for span in mine}
    assert {"optr.plan", "optr.attempt", "optr.judge", "optr.publish", "execute_tool bash"} <= names
    told = {
        attribute.key: attribute.value
        for span in mine
        if span.name.startswith("chat ")
        for attribute in span.attributes
    }
    assert told["gen_ai.usage.output_tokens"].int_value > 0
    attempts = {span.span_id: span for span in mine if span.name == "optr.attempt"}
    assert {span.parent_span_id for span in mine if span.name.startswith("chat ")} <= set(attempts)

    title, body = demo_issue()
    seen = b"".join(collector.bodies) + page.encode()
    lines = [line.strip() for line in body.splitlines() if len(line.strip()) > 20]
    for words in (title, *lines, *service.secrets(), TOKEN):
        assert words.encode() not in seen, words
