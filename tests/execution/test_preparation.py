import asyncio
import os
from pathlib import Path

import pytest

from execution.config import Prepare, load_config
from execution.ports import Sandbox
from execution.preparation import CACHE_DIRECTORY, Prepared, Preparer, cache_key, may_use_network, place
from execution.problems import SetupProblem
from execution.records import Command, CommandResult
from execution.yamlfile import ConfigError
from tests.execution.rooms import Origin

BASE = {"pins.txt": "dep==1\n"}


class Counting:
    """A sandbox that remembers what it was asked."""

    def __init__(self, inner: Sandbox) -> None:
        self.name = inner.name
        self._inner = inner
        self.asked: list[Command] = []

    async def run(self, command: Command) -> CommandResult:
        self.asked.append(command)
        return await self._inner.run(command.model_copy(update={"network": False}))


def ensure(
    sandbox: Sandbox, scratch: Path, origin: Origin, base: str, declared: Prepare | None, *, network: bool = False
) -> tuple[Prepared, ...]:
    preparer = Preparer(sandbox, scratch)
    return asyncio.run(preparer.ensure(origin.git_dir, "octo/sums", base, declared, network=network))


def ensure_in(
    home: Path, sandbox: Sandbox, scratch: Path, origin: Origin, base: str, declared: Prepare
) -> tuple[Prepared, ...]:
    """As one process with a scratch of its own and a cache that outlives it."""
    preparer = Preparer(sandbox, scratch, home)
    return asyncio.run(preparer.ensure(origin.git_dir, "octo/sums", base, declared, network=False))


def test_it_runs_once_per_base_and_declaration(origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
    base, counting = origin.commit(BASE), Counting(sandbox)
    declared = Prepare(run="mkdir .optr-deps && cp pins.txt .optr-deps/seen && ln -s /etc/passwd .optr-deps/link")
    first = ensure(counting, scratch, origin, base, declared)
    assert ensure(counting, scratch, origin, base, declared) == first
    assert len(counting.asked) == 1
    assert (first[0].source / "seen").read_text() == "dep==1\n"
    if os.geteuid() == 0:
        assert (first[0].source / "seen").stat().st_uid == 0
    again = origin.commit({"pins.txt": "dep==2\n"})
    assert (ensure(counting, scratch, origin, again, declared)[0].source / "seen").read_text() == "dep==2\n"
    other = Prepare(run=declared.run, timeout_s=5)
    assert ensure(counting, scratch, origin, base, other) != first
    assert sorted(path.name for path in scratch.iterdir()) == [CACHE_DIRECTORY]


def test_nothing_declared_prepares_nothing(origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
    assert ensure(sandbox, scratch, origin, origin.commit(BASE), None) == ()


def test_the_network_is_for_the_operator_to_give(origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
    base, counting, declared = origin.commit(BASE), Counting(sandbox), Prepare(run="mkdir .optr-deps")
    ensure(counting, scratch, origin, base, declared)
    ensure(counting, scratch, origin, base, declared, network=True)
    assert [command.network for command in counting.asked] == [False, True]
    assert all(not command.stdin and set(command.env) == {"CI"} for command in counting.asked)
    assert [may_use_network({"OPTR_PREPARE_NETWORK": value}) for value in ("1", "0", "true", "")] == [True] + [
        False
    ] * 3
    offline, online = (cache_key("o/r", base, declared, network=network) for network in (False, True))
    assert offline != online


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("echo no such package; exit 3", "ended with 3: no such package"),
        ("true", "made nothing at '.optr-deps'"),
        ("ln -s /etc .optr-deps", "made nothing at '.optr-deps'"),
        ("sleep 30", "did not end in time"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_is_kept(
    origin: Origin, scratch: Path, sandbox: Sandbox, run: str, words: str
) -> None:
    with pytest.raises(SetupProblem, match=words) as trouble:
        ensure(sandbox, scratch, origin, origin.commit(BASE), Prepare(run=run, timeout_s=2))
    assert trouble.value.code == "PREPARE_FAILED"
    assert [path.name for path in scratch.rglob("*") if path.name != CACHE_DIRECTORY] == []


def test_it_goes_into_a_checkout_whatever_stands_there(tmp_path: Path) -> None:
    tree, source = tmp_path / "tree", tmp_path / "kept"
    (tree / ".git/info").mkdir(parents=True)
    (tree / "web/node_modules").mkdir(parents=True)
    (tree / "web/node_modules/evil.js").write_text("x")
    (tree / "file").write_text("x")
    (tree / "link").symlink_to(tmp_path)
    source.mkdir()
    names = ("web/node_modules", "new/deps", "file/deps", "link/deps")
    place(tuple(Prepared(source, name) for name in names), tree)
    assert (tree / "web/node_modules").readlink() == (tree / "new/deps").readlink() == source
    assert (tree / "file").read_text() == "x"
    assert not (tmp_path / "deps").exists()
    assert "/new/deps\n" in (tree / ".git/info/exclude").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "prepare: {run: x, keep: ['../out']}",
        "prepare: {run: x, keep: ['/abs']}",
        "prepare: {run: x, keep: ['.git/hooks']}",
        "prepare: {run: x, keep: ['a', 'a/b']}",
        "prepare: {run: x, keep: ['a', 'a']}",
        "prepare: {run: x, keep: []}",
        "prepare: {keep: [a]}",
        "checks: [{id: t, run: x, junit: '../r.xml'}]",
        "checks: [{id: t, run: x, junit: '/r.xml'}]",
        "scoring: {weights: {invariants: '0.5', time_to_value: '0.5', execution: '0.1', preference: '0'}}",
        "scoring: {weights: {invariants: '1'}}",
        "scoring: {profile: seed-v1, weights: {invariants: '1', time_to_value: '0', execution: '0', preference: '0'}}",
    ],
)
def test_a_configuration_that_reaches_out_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        load_config(text.encode())


def test_a_configuration_with_everything_is_read() -> None:
    config = load_config(
        b"prepare: {run: pip install -t .optr-deps x, timeout_s: 60, keep: [.optr-deps, web/node_modules]}\n"
        b"checks: [{id: t, run: x, junit: out/report.xml}]\n"
        b"scoring: {weights: {invariants: '0.7', time_to_value: '0.1', execution: '0.1', preference: '0.1'}}\n"
    )
    assert config.prepare is not None
    assert config.prepare.keep == (".optr-deps", "web/node_modules")
    assert config.checks[0].junit == "out/report.xml"
    assert config.scoring.weights is not None
    assert str(config.scoring.weights.by_term()["invariants"]) == "0.7"
