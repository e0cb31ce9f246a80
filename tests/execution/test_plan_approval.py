"""A plan that waits for a person: its mandates last as long as it may wait; an approval after that starts nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from execution.agents.profiles import Profile
from execution.artifacts import APPROVED, PLAN, POLICY, Approved, Plan
from execution.config import Config
from execution.policies import load_policy
from execution.problems import RunProblem
from execution.records import Limits
from execution.runs import Run, Source
from execution.stages.admit import APPROVAL_WAITS_MS, Approver, approve, asked_for
from execution.stages.flow_plan import Parts
from execution.stages.plan import VERIFY_SLACK_MS, _mandates, _waits_ms
from execution.store import Store
from execution.trustbooks import revocation_draft
from governance.graph import race
from governance.policy.decide import Policy
from governance.states import RunState
from governance.trust.lineage import authority
from governance.trust.operations import revocation
from governance.trust.records import RevocationKind
from ledger.extract import entries
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.execution import worlds
from tests.execution.worlds import BASE, RUN, SIGNER, a_repository, a_store, a_world, an_intent

WALL_S = 600.0
PROFILE = Profile.model_validate({"name": "claude", "type": "command", "command": ["true"]})
ALWAYS = Config.model_validate({"review": {"plan_approval": "always"}})
NEVER = Config.model_validate({"review": {"plan_approval": "never"}})


def a_run(**changes: object) -> Run:
    """One that waits for a person."""
    return worlds.a_run(**{"base_commit": BASE, "state": RunState.AWAITING_APPROVAL, **changes})


def a_plan(run: Run, config: Config) -> Plan:
    """As `execution.stages.plan` makes it, at the beginning of time."""
    graph = race(RUN, ["claude"])
    limits = {"A1": Limits(wall_seconds=WALL_S)}
    intent = an_intent()
    until_ms = _waits_ms(run, config, Parts(graph=graph, racers={"A1": PROFILE}), limits)
    return Plan(
        intent=intent,
        graph=graph,
        mandates=_mandates(graph, intent, limits, until_ms, ("**",)),
        config=config,
        config_digest="",
        checks=(),
        checks_source="",
        base_branch="main",
        base_commit=BASE,
        workflow="w",
        profiles={"A1": PROFILE},
        limits=limits,
        instructions="",
        context="",
        warnings=(),
        planned_ms=0,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = a_store(tmp_path)
    yield made
    made.close()


def test_only_a_plan_that_will_be_asked_about_is_given_the_time_to_wait() -> None:
    work_ms = int(WALL_S * 1000) + VERIFY_SLACK_MS
    (asked,) = a_plan(a_run(), ALWAYS).mandates
    (free,) = a_plan(a_run(), NEVER).mandates
    (local,) = a_plan(a_run(source=Source.CLI), ALWAYS).mandates
    assert asked.deadline_ms == APPROVAL_WAITS_MS + work_ms
    assert (free.deadline_ms, local.deadline_ms) == (work_ms, work_ms)
    assert (asked_for(ALWAYS.review, [PROFILE]) != (), asked_for(NEVER.review, [PROFILE])) == (True, ())


def test_an_approval_after_its_mandates_have_run_out_starts_and_records_nothing(store: Store, tmp_path: Path) -> None:
    world = a_world(tmp_path, store, clock=lambda: (APPROVAL_WAITS_MS + VERIFY_SLACK_MS) / 1000 + 1)
    run = store.add(a_run())
    store.put(RUN, PLAN, a_plan(run, ALWAYS))
    with pytest.raises(RunProblem, match="was made 7 days ago and Sub-PAC-0123456789abcdef-A1 does not last") as caught:
        asyncio.run(approve(world, RUN, Approver("grace")))
    assert caught.value.code == "DISPATCH_EXPIRED"
    assert store.find(RUN, APPROVED, Approved) is None
    assert world.run(RUN).state is RunState.AWAITING_APPROVAL


FORBID = b"""permit (principal, action, resource);
@id("not-own") forbid (principal, action == Action::"approve", resource) when { context.own_request };
@id("not-rae") forbid (principal == Human::"rae", action == Action::"approve", resource);
"""


class Desk:
    """A run that waits for its approval, planned under a repository's policy, with a ledger in git."""

    def __init__(self, directory: Path, store: Store, repository_policy: bytes | None) -> None:
        self.git_dir, self.store = a_repository(directory), store
        self.sequencer = Sequencer(self.git_dir, SIGNER, FileCheckpoints(directory / "checkpoints"))
        self.world = a_world(directory, store)
        run = store.add(a_run())
        store.put(RUN, PLAN, a_plan(run, ALWAYS))
        if repository_policy is not None:
            store.put(RUN, POLICY, load_policy({}, repository_policy))

    def approve(self, by: Approver) -> Approved | None:
        return asyncio.run(approve(self.world, RUN, by))

    def refused(self, by: Approver, words: str) -> str:
        with pytest.raises(RunProblem, match=words) as caught:
            self.approve(by)
        assert self.store.find(RUN, APPROVED, Approved) is None
        assert self.world.run(RUN).state is RunState.AWAITING_APPROVAL
        return caught.value.code


def test_the_run_s_policy_says_who_approves_and_its_digest_is_on_the_line(store: Store, tmp_path: Path) -> None:
    desk = Desk(tmp_path, store, FORBID)
    for by, words in (
        (Approver("rae"), "the repository policy does not let Human 'rae' approve: not-rae"),
        (Approver("Ada"), "not-own"),
        (Approver("helper", bot=True), "the default policy does not let Human 'helper' approve"),
    ):
        assert desk.refused(by, words) == "POLICY_DENIED"
    made = desk.approve(Approver("grace", 7))
    assert made is not None
    (line,) = entries(desk.git_dir, lambda one: one.record["type"] == "HUMAN_REVIEW_RECORDED")
    assert (line.record["actor"], line.record["ownRequest"]) == ("grace", False)
    assert line.record["policy"] == store.load(RUN, POLICY, Policy).digest
    assert desk.approve(Approver("rae")) == made  # the first approval stands


def test_by_the_shipped_policy_people_approve_what_they_asked_for(store: Store, tmp_path: Path) -> None:
    desk = Desk(tmp_path, store, b"permit (principal, action, resource);")
    assert desk.approve(Approver("ADA")) is not None
    (line,) = entries(desk.git_dir, lambda one: one.record["type"] == "HUMAN_REVIEW_RECORDED")
    assert line.record["ownRequest"] is True


def test_without_a_policy_to_ask_nobody_approves_and_a_revoked_person_never_does(store: Store, tmp_path: Path) -> None:
    desk = Desk(tmp_path, store, None)
    assert desk.refused(Approver("grace"), "policy of run .* is not there to be asked") == "POLICY_DENIED"
    store.put(RUN, POLICY, load_policy({}, None))
    made = revocation(authority(SIGNER), RevocationKind.HUMAN, "Grace", by="root", now_ms=1)
    desk.sequencer.append([revocation_draft(made)], {})
    assert desk.refused(Approver("grace"), "human 'grace' was revoked by 'root'") == "TRUST_REVOKED"
    assert desk.approve(Approver("linus")) is not None
