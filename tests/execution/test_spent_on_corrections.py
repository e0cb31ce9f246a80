"""What a corrected node cost counts each time: in a run's account of money, and where publishing is asked about."""

from pathlib import Path

from execution.agents.profiles import Profile
from execution.artifacts import PLAN, Dispatched, Tried, correction_name, token_name, tried_name
from execution.policies import _spent
from execution.records import AgentOutcome, Attempt, Candidate, Usage
from execution.spending import Unmeasured
from execution.stages.admit import spent_so_far
from execution.stages.flow_state import slot
from governance.correction import Correction, CorrectionType
from governance.tokens import mint
from tests.execution.test_plan_approval import NEVER, a_plan, a_run
from tests.execution.worlds import RUN, SHA, a_store, a_world

NODE = "A1"
MODEL = Profile.model_validate({"name": "claude", "type": "anthropic-claude", "model": "claude-opus-4-6"})
COSTS = [300, 40, 5]  # millionths of a US dollar, by attempt


def corrected(number: int) -> Correction:
    return Correction(
        id=f"CP-{RUN}-{number}",
        run=RUN,
        number=number,
        node=NODE,
        type=CorrectionType.REISSUE,
        violations=(("CHECK_FAILED", "x"),),
        scope=(NODE,),
        attempts={NODE: number + 1},
        supersedes={NODE: SHA},
        aggregate=SHA,
        reason="once more",
        by="ada",
        issued_ms=1,
        deadline_ms=2,
    )


def test_every_attempt_of_a_corrected_node_counts(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    world = a_world(tmp_path, store)
    run = store.add(a_run())
    plan = a_plan(run, NEVER).model_copy(update={"profiles": {NODE: MODEL}})
    store.put(RUN, PLAN, plan)
    told = []
    for attempt, cost in enumerate(COSTS, 1):
        if attempt > 1:
            store.put(RUN, correction_name(attempt - 1), corrected(attempt - 1))
        token = mint(plan.mandates[0], "repo.write", expires_ms=2, nonce=str(attempt))
        store.put(RUN, token_name(slot(NODE, attempt)), Dispatched(token=token, dispatched_ms=1))
        used = Attempt(outcome=AgentOutcome.COMPLETED, usage=Usage(calls=1, cost_microusd=cost))
        tried = Tried(candidate=Candidate(agent="claude", attempt=used), executed_ms=1)
        store.put(RUN, tried_name(slot(NODE, attempt)), tried)
        told.append((spent_so_far(world, RUN, plan, Unmeasured.WORST), _spent(world, RUN)))
    assert told == [(300, 300), (340, 340), (345, 345)]
    store.close()
