"""Builders and patterns ask the registry of signed records, not what a workflow says of its agents."""

from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.nodes import CANDIDATE_CAPABILITIES, REVIEWER_CAPABILITIES
from governance.patterns import Cast, compile_pattern
from governance.trust.operations import revoke
from governance.trust.records import RevocationKind
from governance.trust.roster import Roster
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
