"""Makes a git repository of the sample project, the same commit wherever and whenever it is made."""

import os
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

BRANCH = "main"
IDENTITY = {
    "GIT_AUTHOR_NAME": "Sample Maintainer",
    "GIT_AUTHOR_EMAIL": "maintainer@example.com",
    "GIT_AUTHOR_DATE": "2026-11-02T09:00:00+00:00",
    "GIT_COMMITTER_NAME": "Sample Maintainer",
    "GIT_COMMITTER_EMAIL": "maintainer@example.com",
    "GIT_COMMITTER_DATE": "2026-11-02T09:00:00+00:00",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
}
GIT_SECONDS_MAX = 30
LEFT_BEHIND = frozenset({"__pycache__", ".git"})


def prepare_project(directory: Path) -> Path:
    """Write the sample project to `directory` and commit it on `main`.

    Args:
        directory: must not exist yet, or be empty.

    Returns:
        The same directory, now a git work tree with one commit.

    Raises:
        FileExistsError: the directory has something in it.
        subprocess.CalledProcessError: git failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty; name a new directory")
    for path, source in _walk(files("bot.demo").joinpath("project"), Path()):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    _git(directory, "init", "--quiet", f"--initial-branch={BRANCH}", "--template=")
    _git(directory, "add", "--all")
    _git(directory, "commit", "--quiet", "--no-gpg-sign", "--message=duration 1.2.0")
    return directory


def demo_issue() -> tuple[str, str]:
    """The issue that the demonstration asks for: title and body."""
    title, _, body = files("bot.demo").joinpath("issue.md").read_text(encoding="utf-8").partition("\n")
    return title, body.strip()


def _walk(source: Traversable, path: Path) -> Iterator[tuple[Path, Traversable]]:
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.name in LEFT_BEHIND:
            continue
        if item.is_dir():
            yield from _walk(item, path / item.name)
        else:
            yield path / item.name, item


def _git(directory: Path, *arguments: str) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", *arguments],
        cwd=directory,
        env={**variables, **IDENTITY},
        check=True,
        capture_output=True,
        timeout=GIT_SECONDS_MAX,
    )
