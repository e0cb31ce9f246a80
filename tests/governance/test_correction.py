"""Correction Packs: what they cover, what they renew, and where they end."""

from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.correction import ATTEMPTS_MAX, Correction, CorrectionType, correct, reissued
from governance.graph import Graph
from governance.intent import Intent
from governance.mandate import Mandate, issue
from governance.report import Report, judge
from governance.settlement import Outcome, Settlement, aggregate, settle
from tests.governance.conftest import RUN, sha
from tests.governance.test_flow_graphs import edge, graph_of, reader, writer

DAY_MS = 86_400_000


@pytest.fixture
def chain() -> Graph:
    return graph_of(
        [reader("PLAN", steps="strings"), writer("WRITE"), writer("ALONE"), writer("LAST")],
        [
            edge("ROOT", "PLAN"),
            edge("ROOT", "ALONE"),
            edge("PLAN", "WRITE", "steps"),
            edge("WRITE", "LAST", "patch"),
            edge("ALONE", "LAST", "patch"),
            edge("LAST", "JOIN"),
        ],
    )


class Standing:
    """Where a run stands: mandates, reports and settlements by node, all of one attempt."""

    def __init__(self, graph: Graph, intent: Intent, failed: str, attempt: int = 1) -> None:
        made = issue(
            graph,
            intent,
            paths=("src/**",),
            budget_microusd=9,
            tokens=9,
            steps=9,
            deadline_ms=1_000,
            inputs={"intent": sha("intent")},
        )
        self.graph = graph
        self.mandates = {one.node: one.model_copy(update={"attempt": attempt}) for one in made}
        self.reports = {node: self._report(one, bad=node == failed) for node, one in self.mandates.items()}
        self.settlements = [
            settle(self.mandates[node], report, Outcome.REJECTED if node == failed else Outcome.COMPLETE)
            for node, report in self.reports.items()
        ]

    def _report(self, mandate: Mandate, *, bad: bool) -> Report:
        return judge(
            mandate,
            candidate_digest=sha(mandate.node),
            evidence_digest=sha(mandate.node),
            violations=[("CHECK_FAILED", "tests fail")] if bad else [],
            touched_paths=(),
            claims={},
        )

    def correct(self, node: str, **changes: Any) -> Correction:
        settlements: list[Settlement] = self.settlements
        given: dict[str, Any] = {
            "number": 1,
            "reports": self.reports,
            "settlements": settlements,
            "aggregate": aggregate(self.graph, settlements).digest,
            "reason": "It does not work.",
            "by": "ada",
            "now_ms": 5_000,
            "deadline_ms": DAY_MS,
        }
        return correct(self.graph, node, **{**given, **changes})


@pytest.mark.covers("F3.40")
def test_a_correction_covers_the_node_and_what_depends_on_it(chain: Graph, intent: Intent) -> None:
    made = Standing(chain, intent, failed="WRITE").correct("WRITE")
    assert (made.id, made.scope) == (f"CP-{RUN}-1", ("WRITE", "LAST"))
    assert made.attempts == {"WRITE": 2, "LAST": 2}
    assert made.type is CorrectionType.AMENDMENT
    assert made.violations == (("CHECK_FAILED", "tests fail"),)
    assert set(made.supersedes) == {"WRITE", "LAST"}
    assert made.told == "It does not work."
    assert Correction.model_validate_json(made.model_dump_json()) == made


def test_the_same_again_is_told_nothing(chain: Graph, intent: Intent) -> None:
    standing = Standing(chain, intent, failed="WRITE")
    assert standing.correct("WRITE", kind=CorrectionType.REISSUE).told == ""
    assert standing.correct("PLAN").type is CorrectionType.INVALIDATION


@pytest.mark.parametrize(
    ("node", "changes", "words"),
    [
        ("NOBODY", {}, "has no node 'NOBODY'"),
        ("WRITE", {"reason": " \n"}, "says why"),
        ("WRITE", {"kind": CorrectionType.INVALIDATION}, "what passed is invalidated"),
        ("PLAN", {"kind": CorrectionType.REISSUE}, "what passed is invalidated"),
    ],
)
def test_what_does_not_fit_is_refused(
    chain: Graph, intent: Intent, node: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        Standing(chain, intent, failed="WRITE").correct(node, **changes)
    assert caught.value.code == ReasonCode.CORRECTION_REFUSED


def test_attempts_are_bounded(chain: Graph, intent: Intent) -> None:
    almost = Standing(chain, intent, failed="WRITE", attempt=ATTEMPTS_MAX - 1)
    assert almost.correct("WRITE").attempts["WRITE"] == ATTEMPTS_MAX
    with pytest.raises(RefusedError, match="has had its 4 attempts") as caught:
        Standing(chain, intent, failed="WRITE", attempt=ATTEMPTS_MAX).correct("WRITE")
    assert caught.value.code == ReasonCode.CORRECTION_LIMIT


def test_only_the_time_is_renewed(chain: Graph, intent: Intent) -> None:
    standing = Standing(chain, intent, failed="WRITE")
    made = standing.correct("WRITE")
    old = standing.mandates["WRITE"]
    new = reissued(old, made)
    assert (new.attempt, new.parent, new.deadline_ms) == (2, made.digest, DAY_MS)
    same = {"attempt": old.attempt, "parent": old.parent, "deadline_ms": old.deadline_ms}
    assert new.model_copy(update=same) == old
    with pytest.raises(RefusedError) as caught:
        reissued(standing.mandates["ALONE"], made)
    assert caught.value.code == ReasonCode.BINDING_MISMATCH
