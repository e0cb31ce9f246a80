"""Tree heads on a branch of their own: a ledger rewritten by whoever holds its key is found by what was anchored."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import anchors
from ledger.__main__ import main
from ledger.anchors import ANCHORS, Anchor, anchors_on, check_anchors
from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.commit import Commit
from ledger.errors import SourceError
from ledger.faults import Fault, FaultFound
from ledger.keys import Signer
from ledger.layout import CHECKPOINT, DIRECTORY
from ledger.rotation import Term
from ledger.verify import Manner, Verification, verify_branch, verify_file


def anchor(world: Any, note: bytes | None = None) -> str:
    """Anchor the tree head of now, as the forge would."""
    git = GitDir(world.git_dir)
    tip = git.tip(ANCHORS)
    note = world.show(f"{DIRECTORY}/{CHECKPOINT}") if note is None else note
    made = git.stage(Commit(tip, "Anchor\n", 1_764_000_000, {CHECKPOINT: note}), "refs/optr/test")
    subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", ANCHORS, made], check=True)
    return str(made)


def verified(world: Any) -> Verification:
    anchors = anchors_on(GitDir(world.git_dir))
    return verify_branch(world.git_dir, trusted=str(world.signer.vkey), manner=Manner(anchors=anchors))


def rewritten(world: Any, *numbers: int) -> None:
    """Another history under the same key, with an empty memory: all of it is well signed."""
    store = world.directory / "another"
    store.mkdir()
    subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", "-d", "refs/heads/datalake"], check=True)
    sequencer = world.sequencer(type(world.store)(store))
    for number in numbers:
        sequencer.append([world.draft(number, actor="somebody else")], {})


def test_a_ledger_that_extends_every_anchor_is_accepted(world: Any) -> None:
    for first, last in itertools.pairwise((0, 1, 8, 64, 256, 257, 300)):
        world.sequencer().append([world.draft(number) for number in range(first, last)], {})
        anchor(world)
    found = anchors_on(GitDir(world.git_dir))
    assert len(found) == 6
    assert verified(world).problem is None


def test_history_rewritten_with_the_key_differs_from_the_anchor(world: Any) -> None:
    world.append(0, 1, 2)
    at = anchor(world)
    rewritten(world, 0, 1, 2, 3)
    assert verify_branch(world.git_dir, trusted=str(world.signer.vkey)).problem is None, "nothing else can tell"
    problem = verified(world).problem
    assert problem is not None
    assert (problem.fault, problem.detail) == (
        Fault.ANCHOR,
        f"differs from an anchor: the first 3 lines have another root than was anchored by {at[:12]}",
    )


def test_a_ledger_rolled_back_behind_an_anchor_is_found(world: Any) -> None:
    world.append(0)
    before = GitDir(world.git_dir).tip()
    world.append(1)
    at = anchor(world)
    subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", "refs/heads/datalake", str(before)], check=True)
    problem = verified(world).problem
    assert problem is not None
    assert problem.detail == f"differs from an anchor: 2 lines were anchored by {at[:12]}, 1 are here"


@pytest.mark.parametrize("note", [b"", b"not a note", None])
def test_what_is_anchored_and_not_of_this_ledgers_key_is_a_finding(world: Any, note: bytes | None) -> None:
    world.append(0)
    if note is None:
        tip = str(GitDir(world.git_dir).tip())
        other = Signer(world.signer.origin, bytes(range(32)))
        twin = replace(world, fixed=other)
        rewritten(twin, 0)
        note = twin.show(f"{DIRECTORY}/{CHECKPOINT}")
        subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", "refs/heads/datalake", tip], check=True)
    anchor(world, note)
    problem = verified(world).problem
    assert problem is not None
    assert problem.fault is Fault.ANCHOR


def test_an_anchor_that_was_taken_away_again_still_counts_by_the_branchs_history(world: Any) -> None:
    world.append(0, 1)
    kept = anchor(world)
    git = GitDir(world.git_dir)
    gone = git.stage(Commit(kept, "Away\n", 1_764_000_001, {}, [CHECKPOINT]), "refs/optr/test")
    subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", ANCHORS, gone], check=True)
    assert anchors_on(git) == (Anchor(kept, world.show(f"{DIRECTORY}/{CHECKPOINT}")),)


def test_anchors_are_read_from_the_oldest_and_the_first_that_differs_is_named(world: Any) -> None:
    commits, notes = [], []
    for number in range(3):
        world.append(number)
        commits.append(anchor(world))
        notes.append(world.show(f"{DIRECTORY}/{CHECKPOINT}"))
    git = GitDir(world.git_dir)
    assert anchors_on(git) == tuple(map(Anchor, commits, notes))
    assert anchors_on(git, commits[1]) == tuple(map(Anchor, commits[:2], notes))
    rewritten(world, 0, 5, 6, 7)
    anchor(world)
    problem = verified(world).problem
    assert problem is not None
    assert problem.detail.endswith(f"the first 1 lines have another root than was anchored by {commits[0][:12]}")


def test_a_branch_that_anchors_nothing_yet_is_refused_its_commits_passed_over_and_garbage_cut(world: Any) -> None:
    world.append(0)
    git = GitDir(world.git_dir)
    empty = git.stage(Commit(None, "Begin\n", 1_764_000_000, {"readme": b"x"}), "refs/optr/test")
    subprocess.run(["git", f"--git-dir={world.git_dir}", "update-ref", ANCHORS, empty], check=True)
    with pytest.raises(SourceError, match="no tree head was ever anchored"):
        anchors_on(git)
    long = anchor(world, b"x" * 70_000)
    assert anchors_on(git) == (Anchor(long, b"x" * 65_537),)
    problem = verified(world).problem
    assert problem is not None
    assert problem.detail.startswith(f"differs from an anchor: anchored by {long[:12]}: the note must be")


def test_a_branch_of_anchors_is_read_up_to_its_limit(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(0)
    anchor(world)
    anchor(world)
    monkeypatch.setattr(anchors, "ANCHORS_MAX", 2)
    assert len(anchors_on(GitDir(world.git_dir))) == 2
    monkeypatch.setattr(anchors, "ANCHORS_MAX", 1)
    with pytest.raises(SourceError, match=f"{ANCHORS} has more than 1 commits"):
        anchors_on(GitDir(world.git_dir))


def test_tiles_that_lie_lead_to_no_anchor_and_missing_ones_are_named(world: Any) -> None:
    world.append(0, 1, 2)
    anchor(world)
    world.append(3)
    head = parse_checkpoint(world.show(f"{DIRECTORY}/{CHECKPOINT}"))
    terms = (Term(world.signer.vkey, 0, None),)
    found = anchors_on(GitDir(world.git_dir))
    check_anchors(found, head, terms, lambda path: world.show(f"{DIRECTORY}/{path}"))
    for read in (lambda _: bytes(128), lambda _: b""):
        with pytest.raises(FaultFound) as lied:
            check_anchors(found, head, terms, read)
        assert lied.value.fault is Fault.ANCHOR
        assert lied.value.detail.startswith("the first 3 lines have another root than was anchored by")


def test_without_the_branch_the_auditor_is_told_to_fetch_it(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.append(0)
    with pytest.raises(SourceError, match="fetch it"):
        anchors_on(GitDir(world.git_dir))
    assert main(["verify", str(world.git_dir), "--anchors", ANCHORS]) == 2
    assert "fetch it" in capsys.readouterr().err
    anchor(world)
    assert main(["verify", str(world.git_dir), "--anchors", ANCHORS]) == 0
    rewritten(world, 5)
    assert main(["verify", str(world.git_dir), "--anchors", ANCHORS]) == 20
    assert "differs from an anchor" in capsys.readouterr().out


def test_lines_alone_cannot_be_held_against_anchors(world: Any, tmp_path: Path) -> None:
    world.append(0)
    anchor(world)
    lone = tmp_path / "lines"
    lone.write_bytes(world.show(f"{DIRECTORY}/ledger.jsonl"))
    found = verify_file(lone, manner=Manner(anchors=anchors_on(GitDir(world.git_dir))))
    assert found.problem is not None
    assert found.problem.fault is Fault.ANCHOR
