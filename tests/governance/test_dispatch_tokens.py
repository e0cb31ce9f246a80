import json
from hashlib import sha256
from typing import Any

import pytest

from governance.mandate import narrow
from governance.reasons import ReasonCode, RefusedError
from governance.tokens import DispatchToken, check, inputs_digest, mint
from tests.governance.conftest import a_mandate

A = "a" * 64


def presented(**changes: Any) -> dict[str, Any]:
    place = {"run": "run", "node": "A1", "attempt": 1, "agent": "codex", "capability": "repo.write"}
    return {**place, "inputs_digest": inputs_digest({"base": A}), "now_ms": 499, **changes}


def token() -> DispatchToken:
    return mint(a_mandate(), "repo.write", expires_ms=500, nonce="n-1")


def test_a_token_permits_exactly_what_it_was_minted_for() -> None:
    check(token(), **presented())
    assert token() == mint(a_mandate(), "repo.write", expires_ms=500, nonce="n-1")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"run": "other"}, ReasonCode.DISPATCH_WRONG_RUN),
        ({"node": "A2"}, ReasonCode.DISPATCH_WRONG_NODE),
        ({"attempt": 2}, ReasonCode.DISPATCH_WRONG_ATTEMPT),
        ({"agent": "claude"}, ReasonCode.DISPATCH_WRONG_AGENT),
        ({"capability": "repo.read"}, ReasonCode.DISPATCH_WRONG_CAPABILITY),
        ({"inputs_digest": inputs_digest({"base": "b" * 64})}, ReasonCode.DISPATCH_WRONG_INPUTS),
        ({"now_ms": 500}, ReasonCode.DISPATCH_EXPIRED),
        ({"now_ms": 10**9}, ReasonCode.DISPATCH_EXPIRED),
    ],
)
@pytest.mark.covers("F3.21")
def test_every_mismatch_has_its_own_reason(changes: dict[str, object], code: ReasonCode) -> None:
    with pytest.raises(RefusedError) as caught:
        check(token(), **presented(**changes))
    assert caught.value.code == code


def test_a_capability_not_held_is_not_minted() -> None:
    for capability in ("github.write", "", "repo.*"):
        with pytest.raises(RefusedError) as caught:
            mint(a_mandate(), capability, expires_ms=500, nonce="n")
        assert caught.value.code == ReasonCode.DISPATCH_WRONG_CAPABILITY


def test_a_token_never_outlives_its_mandate() -> None:
    assert mint(a_mandate(), "repo.write", expires_ms=10**9, nonce="n").expires_ms == 1000


def test_ids_depend_on_nonce_and_on_everything_bound() -> None:
    others = [
        mint(a_mandate(), "repo.write", expires_ms=500, nonce="n-2"),
        mint(a_mandate(), "repo.write", expires_ms=501, nonce="n-1"),
        mint(narrow(a_mandate(), attempt=2), "repo.write", expires_ms=500, nonce="n-1"),
        mint(narrow(a_mandate(), tokens=0), "repo.write", expires_ms=500, nonce="n-1"),
    ]
    assert len({one.id for one in [token(), *others]}) == 5


def test_a_nonce_is_needed() -> None:
    with pytest.raises(ValueError, match="nonce"):
        mint(a_mandate(), "repo.write", expires_ms=500, nonce="")


def hashed(value: object) -> str:
    """As anybody can compute it who reads docs/ledger.md: canonical JSON, SHA-256."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_an_auditor_can_compute_what_a_token_is_bound_to() -> None:
    inputs = hashed({"kind": "optr/inputs/1", "value": {"base": A}})
    assert inputs_digest({"base": A}) == inputs
    bound = {
        "run": "run",
        "node": "A1",
        "attempt": 1,
        "agent": "codex",
        "capability": "repo.write",
        "inputs_digest": inputs,
        "expires_ms": 500,
    }
    seal = {"kind": "optr/dispatch/1", "mandate": a_mandate().digest, "nonce": "n-1", "value": bound}
    assert token().model_dump() == {"id": hashed(seal), **bound}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"run": "other"}, "the token's run is 'run', but 'other' was presented"),
        ({"node": "A2"}, "the token's node is 'A1', but 'A2' was presented"),
        ({"attempt": 2}, "the token's attempt is 1, but 2 was presented"),
        ({"agent": "claude"}, "the token's agent is 'codex', but 'claude' was presented"),
        ({"capability": "x"}, "the token's capability is 'repo.write', but 'x' was presented"),
        ({"inputs_digest": ""}, f"the token's inputs is '{inputs_digest({'base': A})}', but '' was presented"),
        ({"now_ms": 507}, "the token of node A1 expired 7 ms ago"),
    ],
)
def test_a_refusal_says_what_was_bound_and_what_was_presented(changes: dict[str, object], text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check(token(), **presented(**changes))
    assert caught.value.text == text


def test_a_refused_capability_is_told_what_is_held() -> None:
    with pytest.raises(RefusedError, match=r"Sub-PAC-run-A1 does not hold 'repo.read'; it holds: repo.write"):
        mint(a_mandate(), "repo.read", expires_ms=500, nonce="n")
    with pytest.raises(RefusedError, match="it holds: nothing"):
        mint(narrow(a_mandate(), capabilities=()), "repo.read", expires_ms=500, nonce="n")
