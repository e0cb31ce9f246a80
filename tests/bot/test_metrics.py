"""What an operator's scraper reads, judged by Prometheus' own parser."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot import server, webhook
from bot.github.client import Exchange
from bot.handlers import all_handlers
from bot.metrics import Metrics
from bot.server import Deps
from bot.settings import Settings, SettingsError
from execution.records import AgentOutcome, Usage
from execution.runs import Run, Source
from execution.store import Store
from governance.states import RunOutcome, RunState

TOKEN = "a-token-that-is-long-enough"
NOW_MS = 1_700_000_100_000


def values(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by name and labels."""
    families = text_string_to_metric_families(page.decode())
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(page: bytes, name: str, **labels: str) -> float:
    return values(page)[(name, frozenset(labels.items()))]


def run(number: int, state: RunState, created_ms: int = NOW_MS) -> Run:
    return Run(
        id=f"{number:016x}",
        source=Source.GITHUB,
        repository="octo/hello",
        issue=number,
        workflow=f"issue-{number}",
        requester="mona",
        title="A title",
        intent_sha256="0" * 64,
        state=state,
        outcome=RunOutcome.ACCEPTED if state is RunState.CLOSED else None,
        created_ms=created_ms,
    )


def test_what_happened_is_counted() -> None:
    metrics = Metrics(["issues"])
    metrics.delivered("issues", "queued")
    metrics.delivered("a_new_event_of_github", "ignored")
    metrics.refused(403)
    metrics.called(Exchange("GET", "/app", 200, "id", 4_321, 250, 1))
    metrics.called(Exchange("POST", "/graphql", 0, "", None, 30_000, 1))
    usage = Usage(fresh=10, cached=20, cache_write=5, output=7, cost_microusd=1_500_000, calls=2)
    metrics.attempted("openai-codex", AgentOutcome.COMPLETED, usage)
    metrics.closed(RunOutcome.NO_WINNER)
    page = metrics.page()
    assert value(page, "optr_deliveries_total", event="issues", answer="queued") == 1
    assert value(page, "optr_deliveries_total", event="other", answer="ignored") == 1
    assert value(page, "optr_requests_refused_total", status="403") == 1
    assert value(page, "optr_github_calls_total", method="POST", status="0") == 1
    assert value(page, "optr_github_calls_remaining") == 4_321
    assert value(page, "optr_github_call_seconds_sum") == pytest.approx(30.25)
    assert value(page, "optr_agent_attempts_total", type="openai-codex", outcome="completed") == 1
    assert value(page, "optr_model_tokens_total", type="openai-codex", kind="cache_write") == 5
    assert value(page, "optr_model_cost_dollars_total", type="openai-codex") == pytest.approx(1.5)
    assert value(page, "optr_runs_closed_total", outcome="no_winner") == 1
    assert value(page, "optr_runs_closed_total", outcome="accepted") == 0


def test_every_metric_is_documented(tmp_path: Path) -> None:
    store, metrics = Store(f"sqlite:///{tmp_path / 'state.db'}"), Metrics([])
    metrics.watch(store, lambda: NOW_MS)
    metrics.watch_witnesses(lambda: 0)
    families = list(text_string_to_metric_families(metrics.page().decode()))
    store.close()
    page = (Path(__file__).parents[2] / "docs/observability.md").read_text(encoding="utf-8")
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert names == set(re.findall(r"^\| `(optr_\w+)`", page, re.MULTILINE))


def test_unfinished_runs_are_read_when_asked(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    metrics = Metrics([])
    metrics.watch(store, lambda: NOW_MS)
    assert value(metrics.page(), "optr_oldest_run_seconds") == 0
    store.add(run(1, RunState.EXECUTING, NOW_MS - 90_000))
    store.add(run(2, RunState.IN_REVIEW, NOW_MS - 900_000))  # waits for a person, not for us
    store.add(run(3, RunState.CLOSED, NOW_MS - 900_000))
    page = metrics.page()
    store.close()
    assert value(page, "optr_open_runs", state="executing") == 1
    assert value(page, "optr_open_runs", state="in_review") == 1
    assert value(page, "optr_open_runs", state="received") == 0
    assert value(page, "optr_oldest_run_seconds") == 90


class _Idle:
    """An engine that has nothing to do."""

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        return bool(guid and event and payload)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


async def _ask(settings: Settings, authorization: str | None) -> tuple[int, bytes, str]:
    router, stop = all_handlers(), asyncio.Event()
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    deps = Deps(engine=_Idle(), wants=router.wants, metrics=Metrics(router.subscriptions()))
    serving = asyncio.create_task(server.serve(settings, deps, stop, listening.set_result))
    url = await listening
    async with aiohttp.ClientSession() as session:
        forged = {
            "X-Hub-Signature-256": webhook.signature(b"not the secret", b"{}"),
            "Content-Type": "application/json",
        }
        async with session.post(f"{url}/webhook", data=b"{}", headers=forged) as refused:
            assert refused.status == 403
        headers = {} if authorization is None else {"Authorization": authorization}
        async with session.get(f"{url}/metrics", headers=headers) as answer:
            got = answer.status, await answer.read(), answer.headers.get("Content-Type", "")
    stop.set()
    await serving
    return got


def test_the_page_needs_its_token(environ: dict[str, str]) -> None:
    settings = Settings.from_environ({**environ, "OPTR_METRICS_TOKEN": TOKEN})
    status, page, kind = asyncio.run(_ask(settings, f"Bearer {TOKEN}"))
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert value(page, "optr_requests_refused_total", status="403") == 1
    for wrong in (None, "", "Bearer ", f"Bearer {TOKEN}x", f"bearer {TOKEN}", f"Basic {TOKEN}"):
        status, page, _ = asyncio.run(_ask(settings, wrong))
        assert status == 401
        assert TOKEN.encode() not in page


def test_without_a_token_there_is_no_page(environ: dict[str, str]) -> None:
    status, _, _ = asyncio.run(_ask(Settings.from_environ(environ), f"Bearer {TOKEN}"))
    assert status == 404


def test_a_short_token_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="OPTR_METRICS_TOKEN"):
        Settings.from_environ({**environ, "OPTR_METRICS_TOKEN": "short"})
