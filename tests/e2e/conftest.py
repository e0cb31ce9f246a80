"""An App, a local GitHub and a recorded model for every scenario; each scenario leaves a log without trouble."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.demo.cassette import Cassette, demo_cassettes
from bot.demo.recorded import RecordedModel, recorded_model
from tests.e2e.cli_kit import Bench, make_bench, profile, write
from tests.e2e.copies import bare
from tests.e2e.service import Place, Service, sample_files
from tests.github.server import LocalGitHub

MakeService = Callable[..., Service]


@contextmanager
def model_of(cassettes: Sequence[Cassette]) -> Iterator[RecordedModel]:
    """A recorded model, in a thread."""
    ready: list[Any] = []
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with recorded_model(cassettes) as served:
            ready.append(served)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield ready[0]
    stop.set()
    thread.join(10)


@pytest.fixture(scope="session")
def model() -> Iterator[RecordedModel]:
    """The demo's recorded model."""
    with model_of(demo_cassettes()) as served:
        yield served


@pytest.fixture(scope="session")
def services() -> Iterator[list[Service]]:
    """Every App of this worker; none outlives it."""
    made: list[Service] = []
    yield made
    for service in made:
        service.kill()


@pytest.fixture(scope="session")
def make_service(
    local_github_process: LocalGitHub,
    model: RecordedModel,
    services: list[Service],
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeService:
    """Makes an App that is not started yet; `without` names variables that it shall lack."""

    def make(without: tuple[str, ...] = ()) -> Service:
        # Unmistakable keys, because the check for leaks searches for them.
        keys = {name: f"key-{secrets.token_hex(16)}" for name in model.environ if name.endswith("_API_KEY")}
        environ = {name: text for name, text in {**model.environ, **keys}.items() if name not in without}
        services.append(Service.create(local_github_process, tmp_path_factory.mktemp("app"), environ))
        return services[-1]

    return make


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """No scenario of the App leaves trouble or a secret in a log, or a request that GitHub's description refuses.

    And whatever it wrote about a run carries the ledger's size and root, or says in words why it cannot.
    """
    if "make_service" not in request.fixturenames:
        yield
        return
    github = request.getfixturevalue("local_github")
    github.written()
    yield
    assert (found := bare(github.written())) == [], f"written without size and root of the ledger: {found}"
    for service in request.getfixturevalue("services"):
        service.check_log()


@pytest.fixture(scope="module")
def service(make_service: MakeService) -> Iterator[Service]:
    """One running App for a module's scenarios."""
    made = make_service()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The sample project's files, by path."""
    return sample_files(tmp_path_factory.mktemp("sample"))


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository that holds the sample project as it is."""
    return service.settle(sample)


# Mends only when it is told to.
TOLD = 'case "$OPTR_INTENT" in *"use a plus"*) sed -i s/-/+/ calc.py;; *) exit 3;; esac'
FLOW = "version: 1\npattern: sequential\nroles: {agents: [told, mender]}\n"


@pytest.fixture
def waiting(tmp_path: Path) -> Bench:
    """A local run that waits for a correction."""
    bench = make_bench(tmp_path, {".github/agents/told.agent.md": profile("told", TOLD), "flow.yml": FLOW})
    config = (bench.repo / ".github/optr.yml").read_text("utf-8")
    write(bench.repo, {".github/optr.yml": config + "workflow: flow.yml\n"})
    bench.commit("Follow a workflow")
    ran = bench.execute("fix")
    assert "awaiting correction" in ran.out, ran.err
    return bench
