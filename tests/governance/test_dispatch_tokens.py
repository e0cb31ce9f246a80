from typing import Any

import pytest

from governance.mandate import Mandate, narrow
from governance.reasons import ReasonCode, RefusedError
from governance.tokens import DispatchToken, check, inputs_digest, mint

A = "a" * 64


def mandate() -> Mandate:
    return Mandate(
        id="Sub-PAC-run-A1",
        run="run",
        node="A1",
        attempt=1,
        agent="codex",
        parent=A,
        capabilities=("repo.write",),
        paths=("**",),
        inputs={"base": A},
        budget_microusd=1,
        tokens=1,
        steps=1,
        deadline_ms=1000,
    )


def presented(**changes: Any) -> dict[str, Any]:
    place = {"run": "run", "node": "A1", "attempt": 1, "agent": "codex", "capability": "repo.write"}
    return {**place, "inputs_digest": inputs_digest({"base": A}), "now_ms": 499, **changes}


def token() -> DispatchToken:
    return mint(mandate(), "repo.write", expires_ms=500, nonce="n-1")


def test_a_token_permits_exactly_what_it_was_minted_for() -> None:
    check(token(), **presented())
    assert token() == mint(mandate(), "repo.write", expires_ms=500, nonce="n-1")


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
            mint(mandate(), capability, expires_ms=500, nonce="n")
        assert caught.value.code == ReasonCode.DISPATCH_WRONG_CAPABILITY


def test_a_token_never_outlives_its_mandate() -> None:
    assert mint(mandate(), "repo.write", expires_ms=10**9, nonce="n").expires_ms == 1000


def test_ids_depend_on_nonce_and_on_everything_bound() -> None:
    others = [
        mint(mandate(), "repo.write", expires_ms=500, nonce="n-2"),
        mint(mandate(), "repo.write", expires_ms=501, nonce="n-1"),
        mint(narrow(mandate(), attempt=2), "repo.write", expires_ms=500, nonce="n-1"),
        mint(narrow(mandate(), tokens=0), "repo.write", expires_ms=500, nonce="n-1"),
    ]
    assert len({one.id for one in [token(), *others]}) == 5


def test_a_nonce_is_needed() -> None:
    with pytest.raises(ValueError, match="nonce"):
        mint(mandate(), "repo.write", expires_ms=500, nonce="")
