"""What an operator watches, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

Every label's values come from a closed vocabulary, so that nobody outside can make series. Counters begin at 0 with
each process; gauges are read from the state database when somebody asks.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.cosigning import Answer
from bot.github.client import Exchange
from execution.records import AgentOutcome, Usage
from execution.runs import Run
from governance.states import RunOutcome, RunState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
MILLISECONDS = 1000
MICRODOLLARS = 1_000_000
GITHUB_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TOKENS = ("fresh", "cached", "cache_write", "output")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class OpenRuns(Protocol):
    """Where unfinished runs are read."""

    def open_runs(self) -> Sequence[Run]:
        """Every run that is not closed."""
        ...


class Metrics:
    """The counters of one process (`execution.observation.Observer`).

    Args:
        events: webhook events with a handler; every other one counts as `other`.
    """

    def __init__(self, events: Iterable[str]) -> None:
        self._events = frozenset(events)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody asked for
        self.registry = CollectorRegistry()
        self._deliveries = self._counter("optr_deliveries", "Webhook deliveries that were answered", "event", "answer")
        self._refused = self._counter("optr_requests_refused", "Requests that were refused", "status")
        self._calls = self._counter("optr_github_calls", "Attempts of calls to GitHub", "method", "status")
        self._remaining = Gauge(
            "optr_github_calls_remaining", "What GitHub last said is left of a limit", registry=self.registry
        )
        self._seconds = Histogram(
            "optr_github_call_seconds", "Duration of those attempts", registry=self.registry, buckets=GITHUB_SECONDS
        )
        self._attempts = self._counter("optr_agent_attempts", "Attempts of agents that ended", "type", "outcome")
        self._tokens = self._counter("optr_model_tokens", "Tokens that models were paid for", "type", "kind")
        self._dollars = self._counter("optr_model_cost_dollars", "What they cost, US dollars", "type")
        self._closed = self._counter("optr_runs_closed", "Runs that were closed", "outcome")
        for outcome in RunOutcome:
            self._closed.labels(outcome.value)
        self._witnessed = self._counter("optr_witness_answers", "Witnesses that were asked to cosign", "answer")
        for answer in Answer:
            self._witnessed.labels(answer.value)

    def watch(self, runs: OpenRuns, clock_ms: Callable[[], int]) -> None:
        """Show the unfinished runs too."""
        self.registry.register(_Backlog(runs, clock_ms))

    def watch_witnesses(self, behind: Callable[[], int]) -> None:
        """Show how many ledgers wait for a cosignature, once witnesses are asked."""
        waiting = Gauge(
            "optr_ledgers_uncosigned", "Ledgers whose newest head not every witness cosigned", registry=self.registry
        )
        waiting.set_function(behind)

    def page(self) -> bytes:
        """What a scraper reads."""
        return generate_latest(self.registry)

    def delivered(self, event: str, answer: str) -> None:
        """A delivery was verified and answered."""
        self._deliveries.labels(event if event in self._events else OTHER, answer).inc()

    def refused(self, status: int) -> None:
        """A request was answered 4xx."""
        self._refused.labels(str(status)).inc()

    def called(self, exchange: Exchange) -> None:
        """GitHub was called once."""
        self._calls.labels(exchange.method if exchange.method in _METHODS else OTHER, str(exchange.status)).inc()
        self._seconds.observe(exchange.duration_ms / MILLISECONDS)
        if exchange.remaining is not None:
            self._remaining.set(exchange.remaining)

    def witnessed(self, answer: Answer) -> None:
        """A witness was asked for a cosignature."""
        self._witnessed.labels(answer.value).inc()

    def attempted(self, kind: str, outcome: AgentOutcome, usage: Usage) -> None:
        """See Observer."""
        self._attempts.labels(kind, outcome.value).inc()
        for name in _TOKENS:
            self._tokens.labels(kind, name).inc(getattr(usage, name))
        self._dollars.labels(kind).inc(usage.cost_microusd / MICRODOLLARS)

    def closed(self, outcome: RunOutcome) -> None:
        """See Observer."""
        self._closed.labels(outcome.value).inc()

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)


class _Backlog(Collector):
    """Unfinished runs by state, and how long the oldest that nobody is asked about has waited."""

    def __init__(self, runs: OpenRuns, clock_ms: Callable[[], int]) -> None:
        self._runs = runs
        self._clock_ms = clock_ms

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when the collector is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the database."""
        runs = self._runs.open_runs()
        states = Tally(run.state for run in runs)
        open_runs = GaugeMetricFamily("optr_open_runs", "Runs that are not closed, by state", labels=["state"])
        for state in RunState:
            if state is not RunState.CLOSED:
                open_runs.add_metric([state.value], states[state])
        yield open_runs
        working = [run.created_ms for run in runs if run.state not in {RunState.IN_REVIEW, RunState.CLOSED}]
        age_ms = max(self._clock_ms() - min(working), 0) if working else 0
        yield GaugeMetricFamily(
            "optr_oldest_run_seconds", "Age of the oldest run that waits for OPTR, not for a person", age_ms / 1000
        )
