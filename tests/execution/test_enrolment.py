"""Who may be planned: profiles become signed capabilities, and the ledger says what was taken back."""

from pathlib import Path

import pytest

from execution.agents.build import AgentUnavailableError
from execution.agents.profiles import Profile
from execution.artifacts import REGISTER
from execution.enrolment import NotEnrolledError, capabilities_of, enrolled, instead_of, require_enrolled
from execution.problems import RunProblem
from execution.runs import Source
from execution.trustbooks import revocation_draft
from governance.nodes import CANDIDATE_CAPABILITIES, REVIEWER_CAPABILITIES
from governance.trust.lineage import authority
from governance.trust.operations import revocation
from governance.trust.records import Book, RevocationKind
from governance.trust.roster import Roster
from governance.trust.verify import require_sound
from ledger.entry import Draft
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.execution.worlds import SIGNER, a_repository, a_run, a_store, a_world

RUN = a_run(source=Source.CLI)


def profile(name: str, **members: object) -> Profile:
    return Profile.model_validate({"name": name, "type": "command", "command": ["true"]} | members)


STAFF = (
    profile("abe"),
    profile("zoe"),
    profile("judge", roles=["reviewer"]),
    profile("still", roles=["reviewer"], approval_policy={"test.run": "deny"}),
)


class Office:
    """A ledger, and a world that plans on it."""

    def __init__(self, directory: Path) -> None:
        self.sequencer = Sequencer(a_repository(directory), SIGNER, FileCheckpoints(directory / "checkpoints"))
        self.store = a_store(directory)
        self.store.add(RUN)
        self.world = a_world(directory, self.store)

    def revoke(self, kind: RevocationKind, target: str) -> None:
        made = revocation(authority(SIGNER), kind, target, by="eve", now_ms=1)
        self.sequencer.append([revocation_draft(made)], {})

    def roster(self) -> Roster:
        return enrolled(self.world, RUN, STAFF)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_profile_says_what_an_agent_may_do_at_most() -> None:
    assert [capabilities_of(one) for one in STAFF] == [
        CANDIDATE_CAPABILITIES,
        CANDIDATE_CAPABILITIES,
        ("repo.read", "test.run"),
        ("repo.read",),
    ]


@pytest.mark.covers("F5.26", "F5.28", "F5.29")
def test_nobody_is_planned_for_what_was_not_signed_for_them(office: Office) -> None:
    roster = office.roster()
    for name, needed in (("abe", CANDIDATE_CAPABILITIES), ("judge", REVIEWER_CAPABILITIES)):
        require_enrolled(roster, name, needed)
    for name, needed, code, words in (
        ("judge", CANDIDATE_CAPABILITIES, "TRUST_CAPABILITY", "'judge' does not hold repo.write"),
        ("still", CANDIDATE_CAPABILITIES, "TRUST_CAPABILITY", "'still' does not hold repo.write, test.run"),
        ("eve", REVIEWER_CAPABILITIES, "TRUST_UNKNOWN", "nothing was ever granted"),
    ):
        with pytest.raises(NotEnrolledError, match=words) as refused:
            require_enrolled(roster, name, needed)
        assert refused.value.code == code
        assert str(refused.value).startswith(f"Agent '{name}' is not planned ({code}): ")
    kept = office.store.load(RUN.id, REGISTER, Book)
    assert kept == roster.book
    require_sound(kept, {SIGNER.vkey.public.hex()})


def test_what_was_taken_back_counts_at_once_and_another_agent_is_named(office: Office) -> None:
    office.revoke(RevocationKind.AGENT, "abe")
    roster = office.roster()
    with pytest.raises(NotEnrolledError, match="agent 'abe' was revoked by 'eve'") as refused:
        require_enrolled(roster, "abe", REVIEWER_CAPABILITIES)
    assert refused.value.code == "TRUST_REVOKED"
    assert instead_of(roster, refused.value, CANDIDATE_CAPABILITIES) == "Give the node to another agent, such as zoe."
    assert instead_of(roster, refused.value, REVIEWER_CAPABILITIES) == "Give the node to another agent, such as judge."
    assert instead_of(roster, AgentUnavailableError("no key"), CANDIDATE_CAPABILITIES) == ""
    office.revoke(RevocationKind.KEY, SIGNER.derive("agent:zoe").vkey.public.hex())
    alone = office.roster()
    with pytest.raises(NotEnrolledError, match="TRUST_REVOKED"):
        require_enrolled(alone, "zoe", CANDIDATE_CAPABILITIES)
    assert instead_of(alone, refused.value, CANDIDATE_CAPABILITIES).startswith("NO_CAPABLE_AGENT: no agent holds")


def test_a_revocation_that_cannot_be_read_lets_nobody_be_planned(office: Office) -> None:
    office.sequencer.append([Draft("x/1", "TRUST_REVOKED", "w", "w", "ada", 1, {"revocation": {"kind": "agent"}})], {})
    with pytest.raises(RunProblem) as refused:
        office.roster()
    assert refused.value.code == "TRUST_BROKEN"
