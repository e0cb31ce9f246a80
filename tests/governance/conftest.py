import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import settings

from governance.graph import Graph, race
from governance.intent import Intent
from governance.mandate import Mandate, issue
from governance.report import Report, judge
from governance.settlement import Settlement, race_outcome, settle

# A shared machine's stalls are not failures; every test here is pure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

RUN = "0123456789abcdef"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Race:
    intent: Intent
    graph: Graph
    mandates: tuple[Mandate, ...]

    def report(self, mandate: Mandate, *violations: tuple[str, str]) -> Report:
        return judge(
            mandate,
            candidate_digest=sha(f"patch {mandate.node}"),
            evidence_digest=sha(f"evidence {mandate.node}"),
            violations=violations,
            touched_paths=["src/app.py"],
            claims={"summary": "done"},
        )

    def settlements(self, winner: str | None = "A1", rejected: Sequence[str] = ()) -> tuple[Settlement, ...]:
        settled = []
        for mandate in self.mandates:
            bad = mandate.node in rejected
            report = self.report(mandate, *([("CHECK_FAILED", "tests fail")] if bad else []))
            outcome = race_outcome(mandate.node, winner=winner, admissible=not bad)
            settled.append(settle(mandate, report, outcome))
        return tuple(settled)


@pytest.fixture
def intent() -> Intent:
    return Intent(
        workflow="issue-7",
        title="Refuse short tokens",
        body="They crash the parser.",
        intent_sha256=sha("intent"),
        constraints=("github_issue",),
        base_commit="a" * 40,
        config_digest=sha("config"),
        requester="ada",
    )


@pytest.fixture
def contest(intent: Intent) -> Race:
    graph = race(RUN, ["codex", "claude", "copilot"])
    mandates = issue(
        graph,
        intent,
        paths=("src/**", "tests/**"),
        budget_microusd=5_000_000,
        tokens=2_000_000,
        steps=60,
        deadline_ms=1_000_000,
        inputs={"base": sha("base"), "intent": sha("intent")},
    )
    return Race(intent, graph, mandates)
