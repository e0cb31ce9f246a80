from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.trust.constraints import Constraint
from governance.trust.envelope import Envelope
from governance.trust.operations import revoke
from governance.trust.records import Attestation, RevocationKind
from governance.trust.registry import find_capable_agent, register, status_of
from governance.trust.verify import Level

RUN = "0123456789abcdef"


def registered(trusted: Any, name: str, *capabilities: str, **constraints: Constraint) -> None:
    trusted.book = register(
        trusted.book,
        trusted.authority,
        name,
        trusted.party(name).key,
        capabilities,
        envelope=Envelope(constraints=constraints),
        now_ms=trusted.now_ms,
        expires_ms=50_000,
    )


@pytest.mark.covers("F5.26", "F5.27", "F5.32")
def test_an_agent_is_found_by_what_was_signed_for_it_and_not_by_its_place(trusted: Any) -> None:
    registered(trusted, "agent:zoe", "write", "test")
    registered(trusted, "agent:abe", "write")
    assert find_capable_agent(trusted.book, "write", RUN, trusted.now_ms).actor == "agent:abe"
    assert find_capable_agent(trusted.book, "test", RUN, trusted.now_ms).actor == "agent:zoe"
    assert trusted.allowed(trusted.party("agent:abe"), "write", Level.FULL)
    registered(trusted, "agent:abe", "write")
    assert len([one for one in trusted.book.attestations if one.subject == "agent:abe"]) == 1
    for refused in ("merge", "read"):  # a person holds `read`, no agent does
        with pytest.raises(RefusedError) as caught:
            find_capable_agent(trusted.book, refused, RUN, trusted.now_ms)
        assert caught.value.code is ReasonCode.NO_CAPABLE_AGENT


def test_a_claim_without_a_signature_finds_nobody(trusted: Any) -> None:
    registered(trusted, "agent:abe", "write")
    (real,) = (one for one in trusted.book.attestations if one.subject == "agent:abe")
    claimed = Attestation.model_validate({**real.model_dump(), "capability": "test"})
    trusted.book = trusted.book.model_copy(update={"attestations": (*trusted.book.attestations, claimed)})
    with pytest.raises(RefusedError, match="NO_CAPABLE_AGENT"):
        find_capable_agent(trusted.book, "test", RUN, trusted.now_ms)


@pytest.mark.covers("F5.28")
def test_status_says_what_stands_and_why_nothing_does(trusted: Any) -> None:
    registered(trusted, "agent:abe", "write", "test", steps=Constraint(type="maximum", value=5))
    status = status_of(trusted.book, "agent:abe", trusted.now_ms)
    assert (status.trusted, status.capabilities) == (True, ("test", "write"))
    assert status.envelope.constraints["steps"].value == 5
    assert len(status.grants) == 2
    assert status_of(trusted.book, "agent:abe", 50_000).reason.startswith("TRUST_EXPIRED")
    assert status_of(trusted.book, "agent:eve", trusted.now_ms).reason.startswith("TRUST_UNKNOWN")
    trusted.book = revoke(trusted.book, trusted.authority, RevocationKind.AGENT, "abe", by="ada", now_ms=trusted.now_ms)
    gone = status_of(trusted.book, "agent:abe", trusted.now_ms)
    assert (gone.trusted, gone.reason.partition(":")[0]) == (False, "TRUST_REVOKED")


def test_a_delegation_counts_for_its_own_task_only(trusted: Any) -> None:
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    claude = trusted.party("agent:claude")
    trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id, task=f"{RUN}/A1")
    assert find_capable_agent(trusted.book, "write", f"{RUN}/A1", trusted.now_ms).actor == "agent:claude"
    with pytest.raises(RefusedError, match="NO_CAPABLE_AGENT"):
        find_capable_agent(trusted.book, "write", f"{RUN}/A2", trusted.now_ms)
