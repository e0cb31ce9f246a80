"""A damaged ledger is restored from its own history, byte for byte, and nothing is made anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import MissingObjectError, RebuildError
from ledger.faults import Fault
from ledger.history import Departed
from ledger.rebuild import examine, restore
from tests.ledger.conftest import make_world

NOW = 1_764_000_000
OPEN = "datalake/ledger.jsonl"
SEALED = "datalake/ledger/000/000/000.jsonl"


@pytest.fixture
def grown(world: Any) -> Any:
    """Forty lines in four commits: one sealed segment, eight lines open."""
    for start in range(0, 40, 10):
        world.append(*range(start, start + 10))
    return world


def _state(world: Any) -> dict[str, bytes]:
    return {path: world.show(path) for path in world.paths()}


def _mend(world: Any, backups: Path) -> Any:
    return restore(world.git_dir, examine(world.git_dir), NOW, backups)


def _edited(world: Any, path: str, old: bytes, new: bytes) -> dict[str, bytes | None]:
    content = world.show(path)
    assert old in content
    return {path: content.replace(old, new, 1)}


def _rolled_back(world: Any) -> dict[str, bytes | None]:
    before = f"{world.tip()}~2"
    older = set(world.git("ls-tree", "-r", "--name-only", before).splitlines())
    changes: dict[str, bytes | None] = dict.fromkeys(set(world.paths()) - older)
    return changes | {path: world.show(path, before) for path in older}


DAMAGES: dict[str, tuple[Callable[[Any], dict[str, bytes | None]], Departed, str, int | None]] = {
    "a byte of the open segment": (
        lambda w: _edited(w, OPEN, b"run37", b"run99"),
        Departed.CHANGED,
        "ledger.jsonl",
        38,
    ),
    "a byte of a sealed segment": (
        lambda w: _edited(w, SEALED, b"run5/", b"run6/"),
        Departed.CHANGED,
        "ledger/000/000/000.jsonl",
        6,
    ),
    "the last three lines cut off": (
        lambda w: {OPEN: b"".join(w.show(OPEN).splitlines(keepends=True)[:5])},
        Departed.REMOVED,
        "ledger.jsonl",
        38,
    ),
    "the open segment removed": (lambda w: {OPEN: None}, Departed.REMOVED, "ledger.jsonl", 33),
    "a sealed segment removed": (lambda w: {SEALED: None}, Departed.REMOVED, "ledger/000/000/000.jsonl", 1),
    "a rollback to a genuine older state": (_rolled_back, Departed.REMOVED, "ledger/000/000/000.jsonl", 1),
    "a run's file changed": (
        lambda _: {"datalake/workflows/issue-3/plan.md": b"other"},
        Departed.FILE_CHANGED,
        "workflows/issue-3/plan.md",
        None,
    ),
    "a run's file removed": (
        lambda _: {"datalake/workflows/issue-3/plan.md": None},
        Departed.FILE_REMOVED,
        "workflows/issue-3/plan.md",
        None,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_backed_up_and_undone(grown: Any, tmp_path: Path, name: str) -> None:
    damage, how, path, line = DAMAGES[name]
    whole, tip = _state(grown), grown.tip()
    bad = grown.commit(damage(grown))
    damaged = _state(grown)
    findings = examine(grown.git_dir)
    assert findings.good == tip
    assert [(found.commit, found.how, found.path, found.line) for found in findings.departures[:1]] == [
        (bad, how, path, line)
    ]
    done = restore(grown.git_dir, findings, NOW, tmp_path)
    assert _state(grown) == whole
    assert grown.verify().problem is None
    assert grown.git("rev-parse", f"{done.commit}^") == bad  # forward only: the damage stays in the history
    kept = {path.name: path.read_bytes() for path in done.backups}
    assert kept.get("ledger.jsonl.corrupted", damaged.get(OPEN)) == damaged.get(OPEN)
    grown.append(40)  # and work goes on
    assert grown.verify().problem is None


def test_every_restored_line_is_a_line_of_some_commit(grown: Any, tmp_path: Path) -> None:
    known = {
        line
        for commit in grown.git("rev-list", "refs/heads/datalake").splitlines()
        for path in grown.git("ls-tree", "-r", "--name-only", commit).splitlines()
        if path.endswith(".jsonl")
        for line in grown.show(path, commit).splitlines(keepends=True)
    }
    objects = set(
        grown.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()
    )
    grown.commit(_edited(grown, OPEN, b"run37", b"run99") | {SEALED: b"nothing of it\n"})
    more = set(grown.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines())
    _mend(grown, tmp_path)
    assert {line + b"\n" for line in grown.lines()} <= known
    after = set(grown.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines())
    assert {kind.split()[1] for kind in after - more} == {"commit"}  # no file and no directory was made
    assert objects < more


def test_lines_added_without_the_key_are_not_taken_for_good(grown: Any, tmp_path: Path) -> None:
    good = grown.tip()
    grown.commit({OPEN: grown.show(OPEN) + b'{"v":1}\n'})
    findings = examine(grown.git_dir)
    assert findings.problem is not None
    assert (findings.good, findings.departures) == (good, ())  # it only appended, but nobody signed it
    restore(grown.git_dir, findings, NOW, tmp_path)
    assert grown.verify().problem is None


def test_an_earlier_repair_counts_and_earlier_backups_stay(grown: Any, tmp_path: Path) -> None:
    for number, word in enumerate((b"run35", b"run36"), 1):
        grown.commit(_edited(grown, OPEN, word, b"run99"))
        done = _mend(grown, tmp_path)
        assert [path.name for path in done.backups] == [f"ledger.jsonl.corrupted{'' if number == 1 else '.2'}"]
        grown.append(39 + number)
    assert b"run35" in (tmp_path / "ledger.jsonl.corrupted.2").read_bytes()
    assert b"run35/" not in (tmp_path / "ledger.jsonl.corrupted").read_bytes()
    findings = examine(grown.git_dir)
    assert findings.whole
    assert findings.size == 42
    assert len(findings.departures) == 4  # two damages, and two repairs that changed lines back
    with pytest.raises(RebuildError, match="nothing differs"):
        restore(grown.git_dir, findings, NOW, tmp_path)


def test_a_history_rewritten_with_another_key_does_not_replace_the_first(grown: Any, tmp_path: Path) -> None:
    good = grown.tip()
    (tmp_path / "other").mkdir()
    other = make_world(tmp_path / "other")
    other.append(*range(100, 145))
    changes: dict[str, bytes | None] = dict.fromkeys(grown.paths())
    grown.commit(changes | _state(other))
    assert grown.verify().problem is None  # without a trusted key a whole forgery looks sound
    findings = examine(grown.git_dir)
    assert findings.good == good
    assert not findings.whole
    restore(grown.git_dir, findings, NOW, tmp_path)
    assert grown.verify(trusted=str(grown.signer.vkey)).entries == 40


def test_a_history_in_which_nothing_verifies_gives_nothing(world: Any, tmp_path: Path) -> None:
    world.append(0)
    content = world.show(OPEN)
    root = world.git("commit-tree", world.git("mktree", stdin=b""), "-m", "x", env=_IDENTITY)
    world.git("update-ref", "refs/heads/datalake", root)
    world.commit({OPEN: content})
    findings = examine(world.git_dir)
    assert findings.good is None
    assert findings.problem is not None
    assert findings.problem.fault is not Fault.ABSENT
    tip = world.tip()
    with pytest.raises(RebuildError, match="no commit of this history verifies"):
        restore(world.git_dir, findings, NOW, tmp_path)
    assert world.tip() == tip


def test_a_branch_that_moved_is_left_alone(grown: Any, tmp_path: Path) -> None:
    grown.commit(_edited(grown, OPEN, b"run37", b"run99"))
    findings = examine(grown.git_dir)
    tip = grown.commit({"datalake/more": b"x"})
    with pytest.raises(RebuildError, match="moved"):
        restore(grown.git_dir, findings, NOW, tmp_path)
    assert grown.tip() == tip
    assert grown.git("for-each-ref", "refs/optr") == ""


HOSTILE = {
    "a line feed, and a command for git": b"x\nreset refs/heads/stolen\nfrom refs/heads/datalake^0",
    "no UTF-8": b"caf\xe9.md",
    "a quotation mark first": b'"datalake/checkpoint"',
    "backslashes and a tab": b'a\\n\\t\tb "c"',
}


def _add(world: Any, path: bytes) -> str:
    """Commit one file of any name, as somebody does who may push."""
    empty = world.git("hash-object", "-w", "--stdin", stdin=b"x")
    index = _IDENTITY | {"GIT_INDEX_FILE": str(world.directory / "hostile-index")}
    world.git("read-tree", world.tip(), env=index)
    listed = f"100644 {empty}\t".encode() + path + b"\x00"
    world.git("update-index", "-z", "--index-info", stdin=listed, env=index)
    commit = world.git("commit-tree", world.git("write-tree", env=index), "-p", world.tip(), "-m", "x", env=index)
    world.git("update-ref", "refs/heads/datalake", commit)
    return str(commit)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", [b"datalake/workflows/issue-3/", b"datalake/ledger/", b'datalake/"'])
def test_what_a_stranger_names_a_file_is_no_command_and_stops_no_repair(
    grown: Any, tmp_path: Path, name: str, place: bytes
) -> None:
    tip = grown.tip()
    bad = _add(grown, place + HOSTILE[name])
    findings = examine(grown.git_dir)
    assert (findings.good, findings.tip) == (tip, bad)
    done = restore(grown.git_dir, findings, NOW, tmp_path)
    assert grown.git("rev-parse", f"{done.commit}:datalake") == grown.git("rev-parse", f"{tip}:datalake")
    assert grown.git("for-each-ref", "--format=%(refname)") == "refs/heads/datalake"
    assert grown.verify().problem is None


def test_a_strangers_name_makes_no_line_of_its_own(grown: Any) -> None:
    first = _add(grown, b"datalake/workflows/issue-3/x\nNothing to restore")
    gone = grown.git("commit-tree", f"{first}^^{{tree}}", "-p", first, "-m", "x", env=_IDENTITY)
    grown.git("update-ref", "refs/heads/datalake", gone)
    (told,) = [found.words() for found in examine(grown.git_dir).departures]
    assert told == f"{gone[:12]} file removed in 'workflows/issue-3/x\\nNothing to restore'"


def test_a_backup_of_a_file_with_a_long_name_stops_no_repair(grown: Any, tmp_path: Path) -> None:
    tip = grown.tip()
    for end in (b"a", b"b"):
        _add(grown, b"datalake/ledger/" + b"x" * 250 + end)
    done = restore(grown.git_dir, examine(grown.git_dir), NOW, tmp_path)
    assert grown.git("rev-parse", f"{done.commit}^{{tree}}") == grown.git("rev-parse", f"{tip}^{{tree}}")
    assert len({path.name for path in done.backups}) == 2
    assert [path.read_bytes() for path in done.backups] == [b"x", b"x"]


def test_a_history_that_is_not_all_here_is_not_judged(grown: Any, tmp_path: Path) -> None:
    clone = tmp_path / "shallow.git"
    grown.git("clone", "-q", "--bare", "--depth", "2", f"file://{grown.git_dir}", "-b", "datalake", str(clone))
    with pytest.raises(MissingObjectError, match="shallow"):
        examine(clone)
    grown.git(f"--git-dir={clone}", "fetch", "-q", "--unshallow", f"file://{grown.git_dir}", "refs/heads/datalake")
    assert examine(clone).whole


def test_merges_are_named_and_an_absent_branch_is_an_error(grown: Any) -> None:
    tip = grown.tip()
    merge = grown.git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-p", f"{tip}~1", "-m", "x", env=_IDENTITY)
    grown.git("update-ref", "refs/heads/datalake", merge)
    assert [found.words() for found in examine(grown.git_dir).departures] == [f"{merge[:12]} other history merged"]
    with pytest.raises(RebuildError, match="fetch it"):
        examine(grown.git_dir, "refs/heads/elsewhere")


_IDENTITY = {"PATH": "/usr/bin:/bin"} | {
    f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def test_a_name_too_long_for_a_disk_does_not_stop_the_repair(grown: Any, tmp_path: Path) -> None:
    """A path may have many parts, each short enough for git; a backup's name is one part."""
    good = _state(grown)
    deep = "/".join(["x" * 100] * 3)
    strangers = {f"datalake/ledger/{deep}/{name}.jsonl": name.encode() for name in ("a", "b")}
    short = {"datalake/ledger/x.jsonl": b"short"}
    grown.commit(strangers | short)
    done = _mend(grown, tmp_path)
    assert _state(grown) == good
    names = [path.name for path in done.backups]
    assert "ledger-x.jsonl.corrupted" in names
    assert len({*names}) == 3
    assert {(tmp_path / name).read_bytes() for name in names} == {b"a", b"b", b"short"}
    assert all(len(name) < 255 and name.startswith("ledger-") and name.endswith(".corrupted") for name in names)
