"""Fixtures that tests of every package may use."""

from tests.github.fixtures import local_github, local_github_process

__all__ = ["local_github", "local_github_process"]
