"""Who can do what to a ledger, and which reader notices: each row is one attack, each column one more thing known.

The columns: the lines alone; with the signed checkpoint and the trusted key; with a checkpoint remembered at 120 of 200
lines; with the checkpoint that a witness holds, at 200. None is an attack that this reader cannot notice. Attackers
without the key write files; those with it run a sequencer of their own, so that all they show is signed and sound.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ledger import canonical
from ledger.audit import Manner
from ledger.entry import Draft
from ledger.faults import Fault, Kind
from ledger.layout import segment_path
from ledger.merkle import leaf_hash, node_hash, root
from ledger.note import COSIGNATURE, VerifierKey
from ledger.policy import parse_policy
from ledger.store import FileCheckpoints
from ledger.verify import Verification, verify_file
from tests.ledger.conftest import World, draft, make_world

SIZE, REMEMBERED = 200, 120
Lines = list[bytes]


@dataclass(frozen=True)
class Honest:
    """The ledger before anybody touched it, and as it was at 120 lines."""

    world: World
    whole: Path
    older: Path

    @property
    def vkey(self) -> str:
        return str(self.world.signer.vkey)

    def lines(self) -> Lines:
        return self.world.lines()


def _append(world: World, drafts: list[Draft]) -> None:
    """In the same groups each time: the last line of a group is the one that speaks for its files."""
    sequencer = world.sequencer()
    for group in (drafts[:REMEMBERED], drafts[REMEMBERED:]):
        if group:
            sequencer.append(group, {})


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    world = make_world(tmp_path_factory.mktemp("honest"))
    world.sequencer().append([draft(n) for n in range(REMEMBERED)], {})
    older = shutil.copytree(world.checkout(), world.directory / "older")
    shutil.rmtree(world.directory / "checkout")
    world.sequencer().append([draft(n) for n in range(REMEMBERED, SIZE)], {})
    return Honest(world, world.checkout(), older)


def rechained(lines: Lines, *, renumbered: bool) -> Lines:
    """Lines whose chain and hashes fit again; with `renumbered` also their places and times."""
    previous, result, now = "0", [], 0
    for seq, line in enumerate(lines):
        record = json.loads(line)
        now = max(now, record["timestamp"])
        record |= {"previousHash": previous, **({"seq": seq, "timestamp": now} if renumbered else {})}
        del record["hash"]
        previous = canonical.digest(record)
        result.append(canonical.encode({**record, "hash": previous}))
    return result


def flipped(lines: Lines) -> Lines:
    return [*lines[:60], lines[60].replace(b'"n":60', b'"n":61'), *lines[61:]]


def without(lines: Lines) -> Lines:
    return [*lines[:80], *lines[81:]]


def reordered(lines: Lines) -> Lines:
    return [*lines[:50], lines[51], lines[50], *lines[52:]]


def as_keyless(change: Callable[[Lines], Lines]) -> Callable[[Honest, Path], Path]:
    """Rewrite the lines' files; the checkpoint stays, because nobody can sign another."""

    def attack(honest: Honest, directory: Path) -> Path:
        target = shutil.copytree(honest.whole, directory / "datalake")
        lines = change(honest.lines())
        shutil.rmtree(target / "ledger")
        last = (len(lines) - 1) // 32
        for index in range(last + 1):
            path = target / (segment_path(index) if index < last else "ledger.jsonl")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(line + b"\n" for line in lines[index * 32 : (index + 1) * 32]))
        return target

    return attack


def with_the_key(change: Callable[[list[Draft]], list[Draft]]) -> Callable[[Honest, Path], Path]:
    """Write another history with the same key and a memory of its own."""

    def attack(honest: Honest, directory: Path) -> Path:
        forged = make_world(directory)
        forged = replace(forged, fixed=honest.world.signer, store=FileCheckpoints(directory / "forged"))
        _append(forged, change([draft(n) for n in range(SIZE)]))
        return forged.checkout()

    return attack


def swapped(drafts: list[Draft]) -> list[Draft]:
    one, two = drafts[50], drafts[51]
    pair = [replace(two, timestamp=one.timestamp), replace(one, timestamp=two.timestamp)]
    return [*drafts[:50], *pair, *drafts[52:]]


def edited(drafts: list[Draft]) -> list[Draft]:
    return [*drafts[:60], replace(drafts[60], body={"selectedOptr": "claude", "n": 60}), *drafts[61:]]


def forked(drafts: list[Draft]) -> list[Draft]:
    return [*drafts[:160], *(replace(one, body={"selectedOptr": "claude"}) for one in drafts[160:])]


def edited_line(lines: Lines) -> Lines:
    return [*lines[:60], lines[60].replace(b'"codex"', b'"claude"'), *lines[61:]]


def repeated(lines: Lines) -> Lines:
    return rechained([*lines, lines[-1]], renumbered=True)


F = Fault
Noticed = tuple[Fault | None, Fault | None, Fault | None, Fault | None]
ROWS: dict[str, tuple[Callable[[Honest, Path], Path], Noticed]] = {
    "bit flip, not rechained": (as_keyless(flipped), (F.HASH, F.HASH, F.HASH, F.HASH)),
    "truncate 200->140, no key": (as_keyless(lambda x: x[:140]), (None, *[F.MISSING_LINES] * 3)),
    "truncate 200->140, key": (with_the_key(lambda x: x[:140]), (None, None, None, F.REMEMBERED)),
    "truncate 200->100, key": (with_the_key(lambda x: x[:100]), (None, None, F.REMEMBERED, F.REMEMBERED)),
    "rollback to 120 and its genuine old checkpoint": (lambda h, _: h.older, (None, None, None, F.REMEMBERED)),
    "delete, rechain, renumber, no key": (
        as_keyless(lambda x: rechained(without(x), renumbered=True)),
        (None, F.MISSING_LINES, F.REMEMBERED, F.MISSING_LINES),
    ),
    "delete, rechain, renumber, key": (
        with_the_key(lambda x: [*x[:80], *x[81:], draft(SIZE)]),
        (None, None, F.REMEMBERED, F.REMEMBERED),
    ),
    "edit, rechain, no key": (
        as_keyless(lambda x: rechained(edited_line(x), renumbered=True)),
        (None, F.ROOT, F.REMEMBERED, F.REMEMBERED),
    ),
    "edit, rechain, key": (with_the_key(edited), (None, None, F.REMEMBERED, F.REMEMBERED)),
    "reorder, rechain": (as_keyless(lambda x: rechained(reordered(x), renumbered=False)), (F.SEQUENCE,) * 4),
    "reorder, rechain, fix seq and time, no key": (
        as_keyless(lambda x: rechained(reordered(x), renumbered=True)),
        (None, F.ROOT, F.REMEMBERED, F.REMEMBERED),
    ),
    "reorder, rechain, fix seq and time, key": (with_the_key(swapped), (None, None, F.REMEMBERED, F.REMEMBERED)),
    "duplicate id appended": (as_keyless(repeated), (F.DUPLICATE,) * 4),
    "fork at 160, split view": (with_the_key(forked), (None, None, None, F.REMEMBERED)),
}


def _fault(found: Verification) -> Fault | None:
    return found.problem.fault if found.problem is not None else None


def _readers(honest: Honest, shown: Path, directory: Path) -> tuple[Fault | None, ...]:
    """What each reader finds, who knows more than the one before."""
    ledger, lone = shown / "ledger.jsonl", directory / "lines.jsonl"
    sealed = sorted((shown / "ledger").rglob("*.jsonl"))
    lone.write_bytes(b"".join(path.read_bytes() for path in [*sealed, ledger]))
    remembered, witnessed = (path / "checkpoint" for path in (honest.older, honest.whole))
    return (
        _fault(verify_file(lone)),
        _fault(verify_file(ledger, honest.vkey)),
        _fault(verify_file(ledger, honest.vkey, remembered.read_bytes())),
        _fault(verify_file(ledger, honest.vkey, witnessed.read_bytes())),
    )


@pytest.mark.parametrize("row", ROWS)
def test_each_attack_is_noticed_by_the_readers_who_can(honest: Honest, tmp_path: Path, row: str) -> None:
    attack, expected = ROWS[row]
    (tmp_path / "forged").mkdir()
    assert _readers(honest, attack(honest, tmp_path / "forged"), tmp_path) == expected
    assert expected[-1] is not None  # the witness's checkpoint gives every one of them away


def test_the_documentation_says_of_each_row_who_notices_it() -> None:
    page = (Path(__file__).parents[2] / "docs/auditing.md").read_text(encoding="utf-8")
    table = page.partition("| attack | by | lines | key | memory | witness |\n")[2].partition("\n\n")[0]
    told = [[cell.strip() == "found" for cell in row.strip("|").split("|")][2:] for row in table.splitlines()[1:]]
    assert told == [[fault is not None for fault in noticed] for _, noticed in ROWS.values()]


def test_the_honest_ledger_is_accepted_by_every_reader(honest: Honest, tmp_path: Path) -> None:
    assert _readers(honest, honest.whole, tmp_path) == (None, None, None, None)
    grown = make_world(tmp_path)
    grown = replace(grown, fixed=honest.world.signer)
    _append(grown, [draft(n) for n in range(SIZE + 5)])
    assert _readers(honest, grown.checkout(), tmp_path) == (None, None, None, None)


def test_a_forged_checkpoint_that_no_witness_signed_does_not_meet_the_policy(honest: Honest, tmp_path: Path) -> None:
    witness = VerifierKey("witness.example/w", bytes(32), COSIGNATURE)
    told = f"log {honest.vkey}\nwitness w {witness}\nquorum w\n"
    (tmp_path / "f").mkdir()
    shown = with_the_key(forked)(honest, tmp_path / "f")
    found = verify_file(shown / "ledger.jsonl", manner=Manner(policy=parse_policy(told.encode())))
    assert _fault(found) is Fault.POLICY
    assert found.problem is not None
    assert found.problem.kind is Kind.INCOMPLETE


def test_frozen_not_noticed_by_whoever_remembers_nothing_newer(honest: Honest) -> None:
    """A reader who is shown the old state for ever has to hear from elsewhere that there is a newer one."""
    old = honest.older / "ledger.jsonl"
    assert _fault(verify_file(old, honest.vkey, (honest.older / "checkpoint").read_bytes())) is None


def test_backdated_not_noticed_when_the_key_holder_dates_lines_between_their_neighbours(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    _append(world, [draft(0), draft(1, timestamp=draft(0).timestamp), draft(2)])
    assert _fault(world.verify(trusted=str(world.signer.vkey))) is None


def test_untrue_not_noticed_when_it_was_recorded_as_said(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    _append(world, [draft(0, body={"selectedOptr": "nobody ever ran"})])
    assert _fault(world.verify(trusted=str(world.signer.vkey))) is None


def test_second_preimages_of_the_tree_have_another_root() -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(3)]
    inner = node_hash(leaves[0], leaves[1])
    assert root([inner, leaves[2]]) == root(leaves)  # so a node must never pass for a leaf
    assert leaf_hash(leaves[0] + leaves[1]) != inner  # but no line's bytes make a leaf that is a node
    assert root([*leaves, leaves[2]]) != root(leaves)  # and the odd last one is not doubled


def _parsers_disagree() -> dict[str, Any]:
    return {"twice": b'{"a":1,"a":2}', "float": b'{"a":1.0}', "big": b'{"a":9007199254740992}', "nan": b'{"a":NaN}'}


@pytest.mark.parametrize("name", _parsers_disagree())
def test_lines_that_two_parsers_would_read_differently_are_refused(honest: Honest, tmp_path: Path, name: str) -> None:
    line = _parsers_disagree()[name]
    shown = as_keyless(lambda lines: [*lines[:70], line, *lines[71:]])(honest, tmp_path)
    found = verify_file(shown / "ledger.jsonl", honest.vkey)
    assert _fault(found) is Fault.CANONICAL
    assert found.problem is not None
    assert found.problem.entry == 71
