"""Sandboxes that only the operator's word brings: a container engine, and none."""

import asyncio
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from bot.sandboxes import operator_sandbox, remedy
from execution.ports import Sandbox
from execution.records import Command, CommandLimits
from execution.sandbox import SandboxError
from execution.sandbox.container import Container
from execution.sandbox.identity import sandbox_ids
from execution.sandbox.unconfined import Unconfined
from tests.execution.container_engine import IMAGE
from tests.execution.rooms import py, sh

ENGINE = Path(__file__).with_name("container_engine.py")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine called docker on PATH, and where it keeps its containers."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ENGINE} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def container(home: Path) -> Sandbox:
    assert home
    return Container(IMAGE, "docker")


def left(home: Path) -> list[str]:
    return [path.name for path in (home / "containers").iterdir()]


def test_a_command_runs_in_a_container_with_every_wall_and_leaves_nothing(
    container: Sandbox, home: Path, room: Path
) -> None:
    done = sh(container, room, "pwd; id -u; echo made > here; cat; exit 7")
    uid, _ = sandbox_ids()
    assert (done.exit_code, done.output.split()) == (7, [b"/workspace", str(uid).encode()])
    assert (room / "here").read_text() == "made\n"
    assert left(home) == []


def test_values_of_the_environment_never_stand_on_the_command_line(
    container: Sandbox, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-must-stay-outside")
    read = "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '; env"
    command = Command(argv=("sh", "-c", read), workspace=room, env={"GRANTED_KEY": "granted-value", "DOCKER_HOST": "x"})
    seen = asyncio.run(container.run(command)).output.decode()
    assert "GRANTED_KEY=granted-value" in seen
    assert "DOCKER_HOST=x" in seen  # for the command, and not for the engine's client
    assert "sk-this-must-stay-outside" not in seen


def test_the_clock_ends_the_whole_container(container: Sandbox, home: Path, room: Path) -> None:
    done = sh(container, room, "sleep 600 & sleep 600", wall_seconds=1.0)
    assert (done.exit_code, done.timed_out) == (None, True)
    assert left(home) == []


def test_cancelling_ends_the_container_too(container: Sandbox, home: Path, room: Path) -> None:
    async def interrupted() -> None:
        running = asyncio.create_task(container.run(Command(argv=("sleep", "600"), workspace=room)))
        while not (home / "containers").is_dir() or not left(home):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    assert left(home) == []


def test_an_engine_that_cannot_start_it_is_no_result_of_the_command(home: Path, room: Path) -> None:
    with pytest.raises(SandboxError, match="Unable to find image locally"):
        asyncio.run(Container("not-here", "docker").run(Command(argv=("true",), workspace=room)))
    assert left(home) == [] if (home / "containers").exists() else True


def test_a_path_that_could_bend_a_mount_is_refused(container: Sandbox, room: Path) -> None:
    crooked = room / "a,readonly"
    crooked.mkdir()
    with pytest.raises(SandboxError, match="cannot be mounted"):
        asyncio.run(container.run(Command(argv=("true",), workspace=crooked)))


@pytest.mark.parametrize(
    ("image", "engine"), [("--privileged", "docker"), ("", "docker"), ("ok", "sh"), ("a b", "podman")]
)
def test_names_that_are_no_names_are_refused(image: str, engine: str) -> None:
    with pytest.raises(SandboxError, match="OPTR_"):
        Container(image, engine)


def test_without_a_sandbox_what_can_be_kept_is_kept(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-must-stay-outside")
    done = sh(Unconfined(), room, "pwd; id -u; env; exit 3")
    uid, _ = sandbox_ids()
    assert done.exit_code == 3
    assert done.output.split()[:2] == [str(room).encode(), str(uid).encode()]
    assert b"sk-this-must-stay-outside" not in done.output
    assert py(Unconfined(), room, "import os, signal; os.kill(os.getpid(), 9)").exit_code == 137
    assert py(Unconfined(), room, "open('big', 'wb').write(b'x' * 5_000_000)", file_bytes=1_000_000).exit_code != 0
    ended = sh(Unconfined(), room, "sleep 600 & sleep 600", wall_seconds=0.5)
    assert (ended.exit_code, ended.timed_out) == (None, True)


def test_what_to_do_fits_the_sandbox_that_was_asked_for() -> None:
    assert "Install bubblewrap" in remedy({})
    assert "Install bubblewrap" in remedy({"OPTR_SANDBOX": "bubblewrap"})
    assert "unset OPTR_SANDBOX" in remedy({"OPTR_SANDBOX": "container"})


def test_only_the_operators_own_word_brings_them(home: Path) -> None:
    assert home
    chosen = asyncio.run(operator_sandbox({"OPTR_SANDBOX": "none"}))
    assert chosen.name == "none"
    assert asyncio.run(operator_sandbox({})).name in {"bubblewrap", "landlock"}
    contained = asyncio.run(operator_sandbox({"OPTR_SANDBOX": "container", "OPTR_SANDBOX_IMAGE": IMAGE}))
    assert contained.name == "container"
    with pytest.raises(SandboxError, match="OPTR_SANDBOX_IMAGE"):
        asyncio.run(operator_sandbox({"OPTR_SANDBOX": "container"}))
    with pytest.raises(SandboxError, match="'container' does not work here"):
        asyncio.run(operator_sandbox({"OPTR_SANDBOX": "container", "OPTR_SANDBOX_IMAGE": "not-here"}))


def test_limits_are_asked_of_the_engine(room: Path) -> None:
    from execution.sandbox.container import arguments  # noqa: PLC0415 - beside its one use

    limits = CommandLimits(memory_bytes=1 << 28, file_bytes=1 << 20, processes=7)
    words = arguments(Command(argv=("true",), workspace=room, limits=limits, network=True), "optr-x")
    told = dict(pairwise(words))
    assert (told["--memory"], told["--pids-limit"], told["--network"]) == (str(1 << 28), "7", "bridge")
    assert f"fsize={1 << 20}:{1 << 20}" in words
