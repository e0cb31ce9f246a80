"""Who starts when in a race, and what a configuration may ask of it."""

import pytest

from execution.agents.build import ModelAccess
from execution.agents.profiles import AgentType, Profile, starter_profiles
from execution.config import Race, load_config
from execution.problems import SetupProblem
from execution.waves import price_of, require_unreviewed, waves_of
from execution.yamlfile import ConfigError

PRICE = price_of(ModelAccess(environ={}))


def _command(name: str) -> Profile:
    return Profile(name=name, type=AgentType.COMMAND, command=("true",))


def _model(name: str, model: str) -> Profile:
    return Profile(name=name, type=AgentType.OPENAI_CODEX, model=model)


RACERS = {
    "n1": _model("dear", "gpt-6-astra"),
    "n2": _model("unpriced", "openrouter-auto"),
    "n3": _command("free"),
    "n4": _model("cheap", "gpt-6-luna"),
    "n5": _command("free-too"),
}


def test_without_a_rule_all_start_together_as_listed() -> None:
    assert waves_of(Race(), RACERS, PRICE) == (("n1", "n2", "n3", "n4", "n5"),)
    assert waves_of(Race(at_once=2), RACERS, PRICE) == (("n1", "n2"), ("n3", "n4"), ("n5",))


def test_cheapest_first_goes_by_the_registrys_prices_and_keeps_the_list_where_they_are_equal() -> None:
    assert waves_of(Race(at_once=2, order="cheapest_first"), RACERS, PRICE) == (("n3", "n5"), ("n4", "n1"), ("n2",))
    # What has no entry of its own is never taken for cheap.
    assert PRICE(starter_profiles()["copilot"]) >= PRICE(RACERS["n1"])


@pytest.mark.parametrize(
    "race", ["{enough: '0.5'}", "{order: cheapest_first}", "{at_once: 0}", "{at_once: 1, enough: '-1'}"]
)
def test_a_rule_that_can_never_apply_is_refused_with_its_place(race: str) -> None:
    with pytest.raises(ConfigError, match=r"optr\.yml.*race"):
        load_config(f"version: 1\nrace: {race}\n".encode())


def test_stopping_early_is_refused_where_reviewers_may_still_veto() -> None:
    require_unreviewed(Race(at_once=1), {"r": RACERS["n1"]})
    require_unreviewed(Race(at_once=1, enough="0.5"), {})
    with pytest.raises(SetupProblem, match=r"race\.enough") as refused:
        require_unreviewed(Race(at_once=1, enough="0.5"), {"r": RACERS["n1"]})
    assert refused.value.code == "CONFIG_INVALID"
