"""The fixtures of the local GitHub; ``tests/conftest.py`` gives them to every test package."""

import os
from collections.abc import Iterator, Mapping
from typing import NoReturn

import pytest

from tests.github.server import LocalGitHub, missing_parts


def refuse(reason: str, environment: Mapping[str, str]) -> NoReturn:
    """Skip with the reason; in CI, where nothing is skipped, fail with it."""
    if environment.get("CI", "").lower() == "true":
        pytest.fail(f"local GitHub: {reason}")
    pytest.skip(f"SKIPPED local GitHub: {reason}")


@pytest.fixture(scope="session")
def local_github_process() -> Iterator[LocalGitHub]:
    """One local GitHub per test worker."""
    reason = missing_parts()
    if reason is not None:
        refuse(reason, os.environ)
    github = LocalGitHub().start()
    yield github
    github.stop()


@pytest.fixture
def local_github(local_github_process: LocalGitHub) -> Iterator[LocalGitHub]:
    """The worker's local GitHub, without faults left by others; fails the test when something broke GitHub's rules."""
    local_github_process.knob("faults/clear")
    local_github_process.knob("violations/forget")
    yield local_github_process
    left = local_github_process.violations()
    assert left == [], f"requests or webhooks that GitHub's own description refuses: {left}"
