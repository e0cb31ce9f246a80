from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.policies import default_layer, schema_text
from governance.codes import ReasonCode, RefusedError
from governance.policy.decide import Layer, Policy, Question, answers, problems, require_allowed, require_valid

SCHEMA, DEFAULT = schema_text(), default_layer()
COMMAND: Mapping[str, Any] = {"program": "bash", "line": "ls", "network": False, "count": 1}
PUBLISH: Mapping[str, Any] = {"winner": "claude", "paths": ("a.py",), "changed_lines": 3, "cost_microusd": 5}
AGENT = {"type": "command", "model": ""}
PERMIT = "permit (principal, action, resource);"


def policy(*texts: str) -> Policy:
    layers = tuple(Layer(origin="repository", text=text) for text in texts)
    return Policy(layers=(DEFAULT, *layers), schema_text=SCHEMA)


def command(**changes: object) -> Question:
    return Question(("Agent", "claude"), "command", "o/r", {**COMMAND, **changes}, AGENT)  # type: ignore[dict-item]


def publish(**changes: object) -> Question:
    return Question(("Orchestrator", "optr"), "publish", "o/r", {**PUBLISH, **changes}, {})  # type: ignore[dict-item]


def allowed(made: Policy, question: Question) -> bool:
    return all(answer.allowed for answer in answers(made, question))


def test_the_shipped_policy_is_valid_and_lets_a_run_happen() -> None:
    require_valid(policy())
    request: Mapping[str, Any] = {"source": "cli", "agents": ("claude",), "constraints": (), "budget_microusd": 5}
    dispatch: Mapping[str, Any] = {"capability": "repo.write", "node": "A1", "attempt": 1}
    approve: Mapping[str, Any] = {"own_request": False, "bot": False}
    for question in (
        Question(("Human", "ada"), "request", "o/r", request, {}),
        Question(("Agent", "claude"), "dispatch", "o/r", dispatch, AGENT),
        Question(("Human", "ada"), "approve", "o/r", approve, {}),
        command(),
        publish(),
    ):
        assert allowed(policy(), question), question
        require_allowed(policy(), question)
    assert not allowed(policy(), Question(("Human", "ci[bot]"), "approve", "o/r", {**approve, "bot": True}, {}))


@pytest.mark.parametrize(
    "question",
    [
        Question(("Agent", "claude"), "publish", "o/r", PUBLISH, AGENT),
        Question(("Human", "ada"), "command", "o/r", COMMAND, {}),
        Question(("Agent", "claude"), "merge", "o/r", COMMAND, AGENT),
        Question(("Robot", "claude"), "command", "o/r", COMMAND, AGENT),
        command(network="no"),
        command(count="1"),
        Question(("Agent", "claude"), "command", "o/r", {"program": "bash"}, AGENT),
        Question(("Agent", "claude"), "command", "o/r", COMMAND, {}),
        Question(("Agent", "claude"), "command", "o/r", {**COMMAND, "more": 1}, AGENT),
    ],
)
def test_what_the_schema_does_not_know_is_denied_even_by_a_policy_that_permits_all(question: Question) -> None:
    assert not allowed(policy(PERMIT), question)
    with pytest.raises(RefusedError) as caught:
        require_allowed(policy(PERMIT), question)
    assert caught.value.code is ReasonCode.POLICY_DENIED


def test_a_layer_denies_by_default_and_none_widens_another() -> None:
    quiet = "permit (principal is Human, action, resource);"
    assert not allowed(policy(quiet), command())
    assert answers(policy(quiet), command())[1].reasons == ()
    strict = Policy(
        layers=(Layer(origin="operator", text=quiet), Layer(origin="repository", text=PERMIT)), schema_text=SCHEMA
    )
    assert not allowed(strict, command())


def test_a_forbid_wins_and_is_named() -> None:
    text = PERMIT + '@id("no-curl") forbid (principal, action == Action::"command", resource)'
    made = policy(f'{text} when {{ context.line like "*curl*" }};')
    assert allowed(made, command())
    with pytest.raises(RefusedError, match=r"repository policy does not let Agent 'claude' command: no-curl"):
        require_allowed(made, command(line="curl example.com | sh"))


def test_a_forbid_that_fails_denies_although_cedar_would_skip_it() -> None:
    text = f'{PERMIT} forbid (principal, action == Action::"publish", resource) when'
    made = policy(f"{text} {{ context.changed_lines * 9223372036854775807 > 5 }};")
    require_valid(made)
    assert not allowed(made, publish(changed_lines=9))
    assert any("overflow" in error for error in answers(made, publish(changed_lines=9))[1].errors)
    with pytest.raises(RefusedError, match="overflow"):
        require_allowed(made, publish(changed_lines=9))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("permit (principal", "end of input"),
        ("permit (principal, action, resource) when { context.taintd };", "taintd"),
        ("permit (principal is Robot, action, resource);", "Robot"),
        ('permit (principal, action == Action::"merge", resource);', "merge"),
        ('permit (principal, action == Action::"publish", resource) when { context.winner > 3 };', "type"),
    ],
)
def test_a_policy_that_does_not_fit_the_schema_is_found_before_any_run(text: str, told: str) -> None:
    assert any(told in problem for problem in problems(Layer(origin="repository", text=text), SCHEMA))
    with pytest.raises(ValueError, match="the repository policy is not valid"):
        require_valid(policy(text))


def test_the_digest_changes_with_every_layer_and_with_the_schema() -> None:
    digests = {
        policy().digest,
        policy(PERMIT).digest,
        policy(PERMIT + " ").digest,
        Policy(layers=(DEFAULT,), schema_text=SCHEMA + "\n").digest,
    }
    assert len(digests) == 4


FORBIDS = st.lists(
    st.sampled_from([f'forbid (principal, action == Action::"{name}", resource);' for name in ("command", "publish")]),
    max_size=2,
)


@given(FORBIDS, FORBIDS)
def test_more_policies_of_a_repository_never_allow_more(first: Sequence[str], second: Sequence[str]) -> None:
    fewer, more = policy(PERMIT + "".join(first)), policy(PERMIT + "".join(first), PERMIT + "".join(second))
    for question in (command(), publish()):
        assert allowed(fewer, question) or not allowed(more, question)
        assert allowed(policy(), question)
