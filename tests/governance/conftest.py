import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import settings

from governance.codes import RefusedError
from governance.graph import Graph, race
from governance.intent import Intent
from governance.mandate import Mandate, issue
from governance.report import Report, judge
from governance.settlement import Settlement, race_outcome, settle
from governance.trust.chain import Grounds
from governance.trust.constraints import Constraint, Fact
from governance.trust.operations import Party, Terms, delegate, establish, found
from governance.trust.records import Book, Delegation, public_key
from governance.trust.verify import Act, Level, verify
from ledger.keys import Signer

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


INTENT = Intent(
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
def intent() -> Intent:
    return INTENT


def a_mandate(node: str = "A1", deadline_ms: int = 1000) -> Mandate:
    """One that lets codex write in the run `run`."""
    return Mandate(
        id=f"Sub-PAC-run-{node}",
        run="run",
        node=node,
        attempt=1,
        agent="codex",
        parent="a" * 64,
        capabilities=("repo.write",),
        paths=("**",),
        inputs={"base": "a" * 64},
        budget_microusd=1,
        tokens=1,
        steps=1,
        deadline_ms=deadline_ms,
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


@dataclass
class Trusted:
    """A book with an installation, a person and their keys; time is a number that tests move."""

    authority: Party
    ada: Party
    orchestrator: Party
    book: Book
    now_ms: int = 1_000

    def party(self, name: str) -> Party:
        return Party(name, self.authority.signer.derive(name))

    def delegate(
        self,
        delegator: Party,
        delegatee: Party,
        *capabilities: str,
        parent: str = "",
        task: str = RUN,
        expires_ms: int = 50_000,
        **constraints: Constraint,
    ) -> Delegation:
        terms = Terms(task=task, capabilities=capabilities, constraints=constraints, expires_ms=expires_ms)
        key = public_key(delegatee.signer)
        self.book, made = delegate(self.book, delegator, delegatee.name, key, terms, now_ms=self.now_ms, parent=parent)
        return made

    def verify(
        self, who: Party, capability: str, level: Level = Level.STANDARD, *, task: str = RUN, **facts: Fact
    ) -> Grounds:
        act = Act(actor=who.name, key=who.key, capability=capability, task=task, facts=facts)
        return verify(self.book, act, level, self.now_ms)

    def allowed(self, who: Party, capability: str, level: Level = Level.STANDARD, **facts: Fact) -> bool:
        try:
            self.verify(who, capability, level, **facts)
        except RefusedError:
            return False
        return True


@pytest.fixture
def trusted() -> Trusted:
    authority = Party("installation:optr/ada/parser", Signer("optr/ada/parser", bytes(32)))
    ada = Party("human:ada", authority.signer.derive("human:ada"))
    orchestrator = Party("orchestrator:optr", authority.signer.derive("orchestrator:optr"))
    book = establish(
        found(authority),
        authority,
        subject=ada.name,
        subject_key=ada.key,
        capabilities=["read", "write"],
        issued_ms=0,
        expires_ms=100_000,
    )
    return Trusted(authority, ada, orchestrator, book)
