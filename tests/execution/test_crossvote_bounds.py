"""A vote is cast by all the tests that a candidate brings, or not at all."""

import asyncio
from typing import Any, cast

import pytest

from execution.checkrun import CheckRunner
from execution.config import Check
from execution.crossvoting import FILES_MAX, Contestant, Poll
from execution.trees import Trees
from scoring.evidence import CrossOutcome
from tests.execution.rooms import Origin


def test_who_brings_more_tests_than_can_be_run_casts_no_vote_by_a_part_of_them(origin: Origin) -> None:
    names = tuple(f"test_{number}.py" for number in range(FILES_MAX + 1))
    base, candidate = origin.commit({"a.py": "x = 1\n"}), origin.commit(dict.fromkeys(names, "assert True\n"))
    trees = Trees(store=origin.git_dir, base=base, candidate=candidate, base_tests=base)
    nobody = cast("CheckRunner", cast("Any", None))  # nothing may be run

    def votes(tests: tuple[str, ...]) -> list[tuple[str, str, CrossOutcome]]:
        contestants = [Contestant("many", trees, tests), Contestant("other", trees, ())]
        held = asyncio.run(Poll(nobody, [Check(id="tests", run="true")]).hold(contestants))
        return [(vote.voter, vote.target, vote.outcome) for vote in held]

    assert votes(names) == [("many", "other", CrossOutcome.NOT_RUN)]
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'run'"):
        votes(names[:-1])
