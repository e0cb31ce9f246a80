"""The words that stand in ledgers, configurations and comments, and the lists that protect a repository, one by one.

A word that changes here makes records unreadable that others keep: then the version in its kind must change too.
"""

import pytest

from governance.claims import forbidden_claims
from governance.compliance import Fact
from governance.graph import Graph
from governance.intent import Intent
from governance.keeping import Capture
from governance.mandate import Mandate
from governance.patch_format import ChangeKind, FileChange
from governance.policy.decide import Policy
from governance.protected import LOCKFILES, PROTECTED, matched
from governance.record import Record
from governance.report import Report, Verdict
from governance.settlement import Aggregate, Settlement
from governance.tokens import DispatchToken
from governance.trust.lineage import agent, agent_act, authority, draw_up, orchestrator, orchestrator_act, person
from governance.trust.verify import Level, verify
from governance.workflow import Contest, Flow
from governance.wrap import Wrap
from ledger.keys import Signer
from tests.governance.conftest import RUN, Race


def test_facts_of_a_run_and_what_is_kept_of_it() -> None:
    assert [one.value for one in Fact] == [
        "requester_authenticated",
        "permission_checked",
        "graph_recorded",
        "outputs_recorded",
        "selection_recorded",
        "ledger_signed",
        "sandboxed",
        "checks_passed",
        "static_scan_passed",
        "human_approved",
    ]
    assert [one.value for one in Capture] == ["full", "redacted", "digest"]
    assert [one.value for one in ChangeKind] == ["added", "modified", "deleted", "mode"]
    assert [one.value for one in Verdict] == ["PASS", "FAIL", "BLOCKED"]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (Aggregate, "optr/aggregate/1"),
        (Contest, "optr/contest/1"),
        (DispatchToken, "optr/dispatch/1"),
        (FileChange, "patch-file"),
        (Flow, "optr/flow/1"),
        (Graph, "optr/graph/1"),
        (Intent, "optr/intent/1"),
        (Policy, "optr/policy/1"),
        (Mandate, "optr/mandate/1"),
        (Report, "optr/report/1"),
        (Settlement, "optr/settlement/1"),
        (Wrap, "optr/wrap/1"),
    ],
)
def test_each_record_is_named_under_its_own_kind(record: type[Record], kind: str) -> None:
    assert record.record_kind == kind


CLOSURE = "ber closed closes closure finalised finalized merged pdo settled settlement final_state is_final"
AUTHORITY = (
    "approval approvals approve approved approver approves authorisation authorised authority authorization authorized "
    "certification certified ratification ratified reviewer verdict winner human_review reviewed_by selected "
    "selected_agent selected_by"
)


@pytest.mark.parametrize(
    ("name", "code"),
    [*((name, "GS_132") for name in CLOSURE.split()), *((name, "GS_133") for name in AUTHORITY.split())],
)
def test_each_claim_that_is_not_an_agents_to_make(name: str, code: str) -> None:
    assert [found for found, _ in forbidden_claims({name: True})] == [code]


@pytest.mark.parametrize(
    "path",
    [
        ".github/dependabot.yml",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        "a/.gitmodules",
        ".gitattributes",
        ".lfsconfig",
        ".mailmap",
        "AGENTS.md",
        "a/AGENTS.override.md",
        "CLAUDE.md",
        "CLAUDE.local.md",
        "GEMINI.md",
        ".claude/x",
        ".cursor/x",
        ".codex/x",
        ".gemini/x",
        ".agents/x",
        ".copilot/x",
        ".windsurf/x",
        ".roo/x",
        ".continue/x",
        ".aider.conf.yml",
        ".openhands/x",
        ".cursorrules",
        ".windsurfrules",
        ".clinerules",
        ".clinerules/x",
        ".roomodes",
        ".mcp.json",
        "mcp.json",
        ".vscode/x",
        ".idea/x",
        ".devcontainer/x",
        ".husky/x",
        ".npmrc",
        ".yarnrc.yml",
        "bunfig.toml",
        "pip.conf",
        ".pre-commit-config.yaml",
        ".envrc",
    ],
)
def test_each_file_that_steers_people_or_tools_is_protected(path: str) -> None:
    assert matched(path, PROTECTED) is not None


@pytest.mark.parametrize(
    "path",
    [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
        "poetry.lock",
        "uv.lock",
        "pdm.lock",
        "Pipfile.lock",
        "requirements-dev.txt",
        "Cargo.lock",
        "go.sum",
        "Gemfile.lock",
        "composer.lock",
        "packages.lock.json",
        "gradle.lockfile",
        "a/mix.lock",
    ],
)
def test_each_lockfile_is_known(path: str) -> None:
    assert matched(path, LOCKFILES) is not None


SIGNER = Signer("optr/ada/parser", bytes(32))


def test_the_authority_of_a_run_reaches_from_the_person_to_each_agent(contest: Race) -> None:
    book = draw_up(SIGNER, "ada", contest.mandates, 1_000)
    first = contest.mandates[0]
    assert (authority(SIGNER).name, person(SIGNER, "ada").name) == ("installation:optr/ada/parser", "human:ada")
    assert person(SIGNER, "ada").key != person(SIGNER, "bob").key
    assert orchestrator(SIGNER, RUN).key != orchestrator(SIGNER, "other").key
    assert agent(SIGNER, first).key != agent(SIGNER, contest.mandates[1]).key
    spent = {"paths": ("src/a.py",), "budget_microusd": first.budget_microusd, "steps": first.steps}
    held = verify(book, agent_act(SIGNER, first, first.capabilities[0], spent), Level.FULL, 2_000)
    assert (held.origin, held.actor) == ("human:ada", f"agent:{first.agent}")
    assert [one.delegatee for one in held.delegations] == ["orchestrator:optr", f"agent:{first.agent}"]
    assert held.expires_ms == first.deadline_ms
    assert set(held.envelope.constraints) == {"paths", "budget_microusd", "tokens", "steps", "read_only"}
    own = verify(book, orchestrator_act(SIGNER, RUN, "publish"), Level.FULL, 2_000)
    assert (own.actor, own.expires_ms) == ("orchestrator:optr", max(1_000 + 30 * 86_400_000, first.deadline_ms))
