"""Fixtures that tests of every package may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github.fixtures import local_github, local_github_process
from tests.postgres import Postgres, as_sqlalchemy, binaries, sweep

__all__ = ["local_github", "local_github_process"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server per test worker; in CI, where nothing is skipped, its absence is a failure."""
    found = binaries()
    if found is None:
        reason = "PostgreSQL: initdb is neither on the PATH nor under /usr/lib/postgresql"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(f"SKIPPED {reason}")
    sweep(found)
    server = Postgres.start(found)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty state database as SQLAlchemy names it, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    return as_sqlalchemy(request.getfixturevalue("postgres").database())
