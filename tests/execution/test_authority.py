"""Authority at each command, and revocations as a growing ledger tells them: real git, ledger and sandbox."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

import pytest

from execution.agents.profiles import Profile
from execution.artifacts import AUTHORITY, PLAN, POLICY, Plan
from execution.authority import GovernedSandbox
from execution.config import Config
from execution.local import LocalForge
from execution.policies import load_policy
from execution.records import Command
from execution.revocations import Revocations
from execution.runs import Source
from execution.trustbooks import revocation_draft
from governance.codes import ReasonCode, RefusedError
from governance.graph import race
from governance.mandate import issue
from governance.trust.lineage import authority, draw_up
from governance.trust.operations import revocation
from governance.trust.records import RevocationKind
from ledger.entry import Draft
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.execution.worlds import RUN, SIGNER, a_run, a_store, a_world, an_intent

WRITE = "repo.write"


class Ground:
    """One ledger in a bare repository."""

    def __init__(self, directory: Path) -> None:
        self.git_dir = directory / "r.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(self.git_dir)], check=True)
        self.checkpoints = directory / "checkpoints"
        self.sequencer = Sequencer(self.git_dir, SIGNER, FileCheckpoints(self.checkpoints))

    def revoke(self, kind: RevocationKind, target: str, *, lifted: bool = False, at: int = 1) -> None:
        made = revocation(authority(SIGNER), kind, target, by="ada", now_ms=at, lifted=lifted)
        self.sequencer.append([revocation_draft(made)], {})

    def fill(self, start: int, count: int) -> None:
        numbers = range(start, start + count)
        drafts = [Draft(f"x/{n}", "NOTE", "w", "w", "ada", n, {"text": '"type":"TRUST_REVOKED"'}) for n in numbers]
        self.sequencer.append(drafts, {})


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_revocations_are_found_in_sealed_and_open_segments_and_the_last_word_stands(ground: Ground) -> None:
    reader = Revocations(ground.git_dir)
    assert reader.read() == ()
    ground.revoke(RevocationKind.AGENT, "claude")
    assert [one.target for one in reader.read()] == ["claude"]
    ground.fill(0, 40)
    ground.revoke(RevocationKind.HUMAN, "ada")
    ground.fill(40, 40)
    ground.revoke(RevocationKind.AGENT, "claude", lifted=True, at=2)
    found = [(one.kind, one.target, one.lifted) for one in reader.read()]
    assert found == [("agent", "claude", False), ("human", "ada", False), ("agent", "claude", True)]
    assert Revocations(ground.git_dir).read() == reader.read()


def test_a_revocation_that_cannot_be_read_stops_everything(ground: Ground) -> None:
    ground.sequencer.append([Draft("x/1", "TRUST_REVOKED", "w", "w", "ada", 1, {"revocation": {"kind": "agent"}})], {})
    with pytest.raises(RefusedError) as caught:
        Revocations(ground.git_dir).read()
    assert caught.value.code is ReasonCode.TRUST_BROKEN


@pytest.mark.covers("F5.14")
def test_each_command_asks_again(ground: Ground, tmp_path: Path) -> None:
    graph = race(RUN, ["claude"])
    intent = an_intent()
    (mandate,) = issue(
        graph, intent, paths=("**",), inputs={}, budget_microusd=1, tokens=1, steps=3, deadline_ms=10**13
    )
    store = a_store(tmp_path)
    world = a_world(tmp_path, store, forge=LocalForge(ground.git_dir, SIGNER, ground.checkpoints, lambda _line: None))
    store.add(a_run(source=Source.CLI))
    profile = Profile.model_validate({"name": "claude", "type": "command", "command": ["true"]})
    plan = Plan(
        intent=intent,
        graph=graph,
        mandates=(mandate,),
        config=Config(),
        config_digest="",
        checks=(),
        checks_source="",
        base_branch="main",
        base_commit="b" * 40,
        workflow="w",
        profiles={"A1": profile},
        limits={},
        instructions="",
        context="",
        warnings=(),
        planned_ms=1,
    )
    store.put(RUN, PLAN, plan)
    store.put(RUN, POLICY, load_policy({}, None))
    store.put(RUN, AUTHORITY, draw_up(SIGNER, "ada", (mandate,), 1))
    workspace = Path(tempfile.mkdtemp(prefix="optr-authority-"))  # the sandbox's user cannot pass pytest's directories
    workspace.chmod(0o777)
    sandbox = GovernedSandbox(world.sandbox, world, mandate, WRITE)
    command = Command(argv=("true",), workspace=workspace)

    async def codes() -> list[object]:
        seen: list[object] = [(await sandbox.run(command)).exit_code]
        ground.revoke(RevocationKind.AGENT, "claude")
        seen.append(await refused())
        ground.revoke(RevocationKind.AGENT, "claude", lifted=True, at=2)
        seen += [(await sandbox.run(command)).exit_code for _ in range(2)]
        seen.append(await refused())
        return seen

    async def refused() -> ReasonCode:
        with pytest.raises(RefusedError) as caught:
            await sandbox.run(command)
        return caught.value.code

    assert asyncio.run(codes()) == [0, ReasonCode.TRUST_REVOKED, 0, 0, ReasonCode.TRUST_CONSTRAINT]
    store.close()
    workspace.rmdir()
