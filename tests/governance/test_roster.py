"""Builders and patterns ask the registry of signed records, not what a workflow says of its agents."""

from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.nodes import CANDIDATE_CAPABILITIES, REVIEWER_CAPABILITIES
from governance.patterns import Cast, compile_pattern
from governance.trust.lineage import RUN_LASTS_MS, enrol
from governance.trust.operations import revocation, revoke
from governance.trust.records import RevocationKind, public_key
from governance.trust.roster import Roster
from governance.trust.verify import require_sound
from governance.workflow import Flow, Workflow
from tests.governance.test_trust_registry import RUN, registered

PIPELINE = Cast({"planner": ("abe",), "writers": ("zoe",), "tester": ("zoe",), "auditor": ("abe",)}, {}, {})


def roster(trusted: Any, now_ms: int = 0) -> Roster:
    return Roster(trusted.book, RUN, now_ms or trusted.now_ms)


@pytest.fixture
def staffed(trusted: Any) -> Any:
    """A writer and a reader, registered."""
    registered(trusted, "agent:zoe", *CANDIDATE_CAPABILITIES)
    registered(trusted, "agent:abe", *REVIEWER_CAPABILITIES)
    return trusted


def writing(agent: str) -> Workflow:
    return Workflow().add_agent("write", agent, capabilities=CANDIDATE_CAPABILITIES)


@pytest.mark.covers("F5.29")
def test_the_builder_takes_who_was_signed_for_and_nobody_else(staffed: Any) -> None:
    asked = roster(staffed)
    assert isinstance(writing("zoe").build(asked), Flow)
    assert isinstance(writing(asked.capable("repo.write")).build(asked), Flow)
    for agent, words in (
        ("abe", "Agent abe missing required capability: repo.write"),
        ("eve", "Agent eve is not trusted: TRUST_UNKNOWN"),
        ("ada", "Agent ada is not trusted: TRUST_UNKNOWN"),  # a person of that name is no agent
    ):
        with pytest.raises(RefusedError, match=words):
            writing(agent).build(asked)
    with pytest.raises(RefusedError) as caught:
        asked.capable("repo.merge")
    assert caught.value.code is ReasonCode.NO_CAPABLE_AGENT


def test_an_agent_is_refused_by_the_code_of_what_it_lacks(staffed: Any) -> None:
    asked = roster(staffed)
    asked.require("zoe", CANDIDATE_CAPABILITIES)
    asked.require("abe", REVIEWER_CAPABILITIES)
    asked.require("abe", ())
    staffed.book = revoke(staffed.book, staffed.authority, RevocationKind.AGENT, "zoe", by="ada", now_ms=staffed.now_ms)
    for agent, code, text in (
        ("abe", ReasonCode.TRUST_CAPABILITY, "agent 'abe' does not hold repo.write, test.run"),
        ("eve", ReasonCode.TRUST_UNKNOWN, "nothing was ever granted to it"),
        ("zoe", ReasonCode.TRUST_REVOKED, "'agent:zoe' cannot act: agent 'zoe' was revoked by 'ada'"),
    ):
        with pytest.raises(RefusedError) as refused:
            roster(staffed).require(agent, CANDIDATE_CAPABILITIES)
        assert (refused.value.code, refused.value.text) == (code, text)
    with pytest.raises(RefusedError) as refused:
        roster(staffed, 50_000).require("abe", REVIEWER_CAPABILITIES)
    assert refused.value.code is ReasonCode.TRUST_EXPIRED


def test_the_installation_s_register_holds_what_was_said_and_what_is_in_force(trusted: Any) -> None:
    signer = trusted.authority.signer
    words = [
        revocation(trusted.authority, RevocationKind.AGENT, name, by="ada", now_ms=1, lifted=lifted)
        for name, lifted in (("abe", False), ("zoe", False), ("zoe", True))
    ]
    book = enrol(signer, {"zoe": CANDIDATE_CAPABILITIES, "abe": REVIEWER_CAPABILITIES, "idle": ()}, words, 7)
    assert book.revocations == (words[0],)
    assert [(one.subject, one.capability) for one in book.attestations] == [
        ("agent:abe", "repo.read"),
        *(("agent:zoe", word) for word in CANDIDATE_CAPABILITIES),
    ]
    assert {(one.issued_ms, one.expires_ms) for one in book.attestations} == {(7, 7 + RUN_LASTS_MS)}
    assert {one.subject_key for one in book.attestations if one.subject == "agent:zoe"} == {
        public_key(signer.derive("agent:zoe"))
    }
    require_sound(book)
    asked = Roster(book, RUN, 7)
    asked.require("zoe", CANDIDATE_CAPABILITIES)
    assert [asked.distrusted(name) is None for name in ("zoe", "abe", "idle")] == [True, False, False]


def test_what_was_revoked_or_has_expired_builds_nothing(staffed: Any) -> None:
    with pytest.raises(RefusedError, match="not trusted: TRUST_EXPIRED"):
        writing("zoe").build(roster(staffed, 50_000))
    staffed.book = revoke(staffed.book, staffed.authority, RevocationKind.AGENT, "zoe", by="ada", now_ms=staffed.now_ms)
    with pytest.raises(RefusedError, match="not trusted: TRUST_REVOKED"):
        writing("zoe").build(roster(staffed))
    with pytest.raises(RefusedError, match="NO_CAPABLE_AGENT"):
        roster(staffed).capable("repo.write")


def test_a_pattern_asks_for_each_of_its_nodes(staffed: Any) -> None:
    assert compile_pattern("plan_pipeline", PIPELINE, roster(staffed)) == compile_pattern("plan_pipeline", PIPELINE)
    swapped = Cast({**PIPELINE.roles, "writers": ("abe",)}, {}, {})
    with pytest.raises(RefusedError, match=r"Agent abe missing required capability: repo\.write"):
        compile_pattern("plan_pipeline", swapped, roster(staffed))
    race = Cast({"agents": ("zoe",), "reviewers": ("eve",)}, {}, {})
    with pytest.raises(RefusedError, match="Agent eve is not trusted"):
        compile_pattern("race", race, roster(staffed))
