"""Full tiles and bundles are judged alike, whether their block was read at once or line by line."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.errors import ProofError
from ledger.faults import Fault
from ledger.merkle import leaf_hash, root
from ledger.receipt import prove
from ledger.tiles import bundle_path, tile_path
from ledger.verify import verify_file
from tests.ledger.conftest import World, draft, make_world

FULL = [tile_path(0, 0), tile_path(0, 1), bundle_path(0), bundle_path(1)]


@dataclass
class Long:
    """A ledger of 530 lines, two full blocks; `kept` is its tree head after 100 lines, inside the first."""

    whole: Path
    kept: bytes


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Long:
    world = make_world(tmp_path_factory.mktemp("long"))
    world.sequencer().append([draft(n) for n in range(530)], {})
    kept = world.signer.sign_checkpoint(100, root([leaf_hash(line) for line in world.lines()[:100]]))
    return Long(world.checkout(), kept)


def flipped(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize("act", [flipped, Path.unlink], ids=["changed", "removed"])
@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("line_by_line", [False, True])
def test_a_full_tile_or_bundle_that_is_not_as_the_lines_say_is_named(
    long: Long, tmp_path: Path, name: str, act: Callable[[Path], None], *, line_by_line: bool
) -> None:
    place = shutil.copytree(long.whole, tmp_path / "datalake")
    remembered = long.kept if line_by_line else None
    assert verify_file(place / "ledger.jsonl", remembered=remembered).problem is None
    act(place / name)
    problem = verify_file(place / "ledger.jsonl", remembered=remembered).problem
    assert problem is not None
    assert (problem.fault, problem.detail) == (Fault.TILE, f"tile mismatch: {name}")


def test_a_branch_without_a_tree_head_proves_nothing(world: World) -> None:
    world.append(0)
    assert prove(world.git_dir, 0)
    world.commit({"datalake/checkpoint": None})
    with pytest.raises(ProofError, match=r"there is no ledger on refs/heads/datalake in .*repository\.git"):
        prove(world.git_dir, 0)
