"""What the orchestrator may not do, tried: each act is refused, or leaves no trace that passes for the real thing."""

import json
import re
from pathlib import Path

import pytest

from execution.store import Store
from governance.codes import ReasonCode, RefusedError
from governance.entry_types import EntryType
from governance.events import NodeEvent, chain, replay
from governance.gates import dispatch_gate
from governance.graph import Graph
from governance.intent import Intent
from governance.report import Verdict
from governance.settlement import aggregate
from governance.wrap import wrap
from ledger.rotation import KEY_ROTATED
from tests.governance.conftest import RUN, sha
from tests.governance.test_correction import Standing
from tests.governance.test_flow_graphs import edge, graph_of, reader, writer

ROOT = Path(__file__).parents[2]
PERSON = {"accepted": True, "by": "grace", "head_commit": "a" * 40, "when_ms": 9_000}


@pytest.fixture
def line() -> Graph:
    return graph_of(
        [reader("PLAN", steps="strings"), writer("WRITE")],
        [edge("ROOT", "PLAN"), edge("PLAN", "WRITE", "steps"), edge("WRITE", "JOIN")],
    )


@pytest.mark.covers("F3.42", "F3.36")
def test_modifying_an_output_unbinds_it_from_its_aggregate(line: Graph, intent: Intent) -> None:
    settled = Standing(line, intent, failed="").settlements
    made = aggregate(line, settled)
    wrap(line, made, settled, **PERSON)
    changed = [one.model_copy(update={"candidate_digest": sha("nicer")}) for one in settled]
    with pytest.raises(RefusedError) as caught:
        wrap(line, made, changed, **PERSON)
    assert caught.value.code == ReasonCode.BINDING_MISMATCH


@pytest.mark.covers("F3.42", "F3.33", "F3.51")
def test_skipping_a_failed_agent_is_missed_at_the_join_and_at_the_wrap(line: Graph, intent: Intent) -> None:
    settled = Standing(line, intent, failed="WRITE").settlements
    with pytest.raises(RefusedError) as caught:
        aggregate(line, settled[:1])
    assert caught.value.code == ReasonCode.GS_205
    with pytest.raises(RefusedError) as caught:
        wrap(line, aggregate(line, settled), settled, **PERSON)
    assert caught.value.code == ReasonCode.GS_206


@pytest.mark.covers("F3.42", "F3.44")
def test_reordering_events_breaks_their_chain(line: Graph) -> None:
    events = [
        NodeEvent(type=EntryType.MAEG_CREATED, timestamp=1, actor="orchestrator"),
        NodeEvent(type=EntryType.SUB_PAC_ISSUED, timestamp=2, node="PLAN", attempt=1, actor="orchestrator"),
        NodeEvent(type=EntryType.SUB_PAC_DISPATCHED, timestamp=3, node="PLAN", attempt=1, actor="orchestrator"),
    ]
    lines = chain(RUN, events).splitlines(keepends=True)
    assert chain(RUN, reversed(events)) == b"".join(lines)
    with pytest.raises(RefusedError) as caught:
        replay(b"".join([lines[0], lines[2], lines[1]]))
    assert caught.value.code == ReasonCode.EVENT_CHAIN_BROKEN


@pytest.mark.covers("F3.42")
def test_a_synthetic_result_has_no_dispatch_behind_it(line: Graph, intent: Intent) -> None:
    report = Standing(line, intent, failed="WRITE").reports["WRITE"]
    with pytest.raises(ValueError, match="passes exactly when"):
        type(report).model_validate({**report.model_dump(), "verdict": Verdict.PASS})
    invented = [
        NodeEvent(type=EntryType.MAEG_CREATED, timestamp=1, actor="orchestrator"),
        NodeEvent(type=EntryType.SUB_PAC_ISSUED, timestamp=2, node="PLAN", attempt=1, actor="orchestrator"),
        NodeEvent(type=EntryType.BER_AGENT_GENERATED, timestamp=3, node="PLAN", attempt=1, actor="orchestrator"),
    ]
    with pytest.raises(RefusedError) as caught:
        replay(chain(RUN, invented))
    assert caught.value.code == ReasonCode.EVENT_OUT_OF_ORDER


@pytest.mark.covers("F3.42")
@pytest.mark.parametrize("by", ["optr", "orchestrator", "optr[bot]", "write"])
def test_nobody_but_a_person_approves_a_wrap(line: Graph, intent: Intent, by: str) -> None:
    settled = Standing(line, intent, failed="").settlements
    with pytest.raises(RefusedError) as caught:
        wrap(line, aggregate(line, settled), settled, **{**PERSON, "by": by})
    assert caught.value.code == ReasonCode.WRAP_NOT_HUMAN


@pytest.mark.covers("F3.42", "F3.24")
def test_a_gate_cannot_be_bypassed_by_order_or_by_a_token_of_ones_own(
    line: Graph, intent: Intent, tmp_path: Path
) -> None:
    failed = Standing(line, intent, failed="PLAN").reports
    for reports in ({}, {"PLAN": failed["PLAN"]}):
        with pytest.raises(RefusedError) as caught:
            dispatch_gate(line, "WRITE", reports)
        assert caught.value.code == ReasonCode.GS_203
    store = Store(f"sqlite:///{tmp_path / 'state.db'}", lasting=False)
    try:
        assert not store.consume_token(sha("made up"), "WRITE")
    finally:
        store.close()


@pytest.mark.covers("F3.43")
def test_every_entry_type_is_written_somewhere_real() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for package in ("bot", "execution") for path in (ROOT / package).rglob("*.py")
    )
    written = set(re.findall(r"EntryType\.([A-Z_]+)", sources))
    # An attempt goes from its dispatch to its end without a word of the agent's in between that would be worth a line.
    # The hand-over of a ledger's keys is the ledger's own line, under the same name.
    assert {kind.value for kind in EntryType} - written <= {"SUB_PAC_EXECUTING", KEY_ROTATED}
    assert re.search(r"Draft\(\S+ KEY_ROTATED,", (ROOT / "ledger/batch.py").read_text(encoding="utf-8"))


@pytest.mark.covers("F3.41", "F3.53")
def test_the_orchestrator_names_no_agent_and_calls_no_model() -> None:
    names = re.compile(r"\b(benson|codex|claude|copilot|sonny|cody)\b", re.IGNORECASE)
    rules = ("graph", "nodes", "workflow", "gates", "mandate", "report", "settlement", "wrap", "correction", "tokens")
    orchestrating = [ROOT / f"governance/{name}.py" for name in rules]
    orchestrating += [*(ROOT / "governance/patterns").glob("*.py"), *(ROOT / "execution/stages").glob("flow_*.py")]
    orchestrating += [ROOT / "execution/flow.py", ROOT / "execution/flows.py"]
    for path in orchestrating:
        text = path.read_text(encoding="utf-8")
        assert "execution.models" not in text, path.name
        code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
        assert not names.search(code), (path.name, json.dumps(names.findall(code)))
