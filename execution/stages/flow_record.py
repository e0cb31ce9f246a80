"""Put the result of a workflow on the ledger: what every node handed back, the settlements, the line, in one commit."""

import asyncio
from dataclasses import replace

from execution import crashpoints
from execution.artifacts import (
    PLAN,
    RECORDED,
    Dispatched,
    Judged,
    Plan,
    Recorded,
    Tried,
    correction_recorded_name,
    judged_name,
    token_name,
    tried_name,
)
from execution.authority import all_authority, establish_authority, signer_of
from execution.lastword import before_the_end
from execution.policies import in_force
from execution.redaction import secrets_of
from execution.runs import Run
from execution.stages import outputs, trail
from execution.stages.flow_decide import selection_name
from execution.stages.flow_outputs import Deed, events_file, node_files
from execution.stages.flow_state import FIRST, attempts, corrections, mandate_of, slot
from execution.stages.record import attestation_of, compliance_of, decision_line, placed, receipt_of, winner_of
from execution.world import World
from governance.graph import Graph, JoinKind
from governance.report import Verdict
from governance.settlement import Outcome, Settlement, aggregate, race_outcome, settle
from governance.states import RunState
from scoring.selection import Selection


@before_the_end
async def record_flow(world: World, run_id: str, number: int) -> Recorded:
    """Record the result after so many corrections, or return what stands recorded.

    The first record stands in the workflow's directory, later ones in `corrections/<number>`: nothing is overwritten.
    """
    name = correction_recorded_name(number)
    if world.store.find(run_id, name, Recorded) is None:
        world.store.put(run_id, name, await _append(world, run_id, number))
        crashpoints.reach("inside_record")
    made = world.store.load(run_id, name, Recorded)
    world.store.replace(run_id, RECORDED, made)
    world.store.move(run_id, RunState.RECORDED, head_commit=made.commit or "", head_tree=made.tree or "")
    return made


async def _append(world: World, run_id: str, number: int) -> Recorded:
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    selection = world.store.load(run_id, selection_name(number), Selection)
    deeds = deeds_of(world, run_id, plan)
    before = world.store.load(run_id, correction_recorded_name(number - 1), Recorded) if number else None
    settlements = _settlements(plan, _current(deeds), selection, before)
    made = aggregate(plan.graph, settlements, supersedes=before.aggregate.digest if before else "")
    story = _story(plan, _current(deeds))
    git_dir = await world.forge(run).fetch(run)
    winner = await asyncio.to_thread(winner_of, git_dir, run, story, selection)
    decision = outputs.Decision(selection, settlements, made, winner)
    line = decision_line(run_id, story, decision, in_force(world.store, run_id))
    files = _files(world, run, deeds, story, decision, number)
    if number:
        line = replace(line, id=f"{line.id}/{number}", body={**line.body, "supersedes": made.supersedes})
        files = {f"corrections/{number}/{name}": data for name, data in files.items()}
    appended = await world.forge(run).append(run, [line], placed(plan.workflow, files))
    crashpoints.reach("appended")
    commit, tree = winner or (None, None)
    return Recorded(
        commit=commit,
        tree=tree,
        settlements=settlements,
        aggregate=made,
        receipt=receipt_of(appended, line.id),
        decided_ms=story.decided_ms,
    )


def deeds_of(world: World, run_id: str, plan: Plan) -> list[Deed]:
    """Every attempt of every node, in node order, the oldest attempt first."""
    packs = corrections(world, run_id)
    found: list[Deed] = []
    for node, newest in attempts(world, run_id, plan).items():
        for attempt in range(FIRST, newest + 1):
            here = slot(node, attempt)
            found.append(
                Deed(
                    spec=plan.graph.node(node),
                    mandate=mandate_of(world, run_id, plan, node, attempt),
                    attempt=attempt,
                    correction=next((pack for pack in packs if pack.attempts.get(node) == attempt), None),
                    dispatched=world.store.find(run_id, token_name(here), Dispatched),
                    tried=world.store.find(run_id, tried_name(here), Tried),
                    judged=world.store.load(run_id, judged_name(here), Judged),
                    is_current=attempt == newest,
                )
            )
    return found


def _current(deeds: list[Deed]) -> dict[str, Deed]:
    return {deed.spec.id: deed for deed in deeds if deed.is_current}


def _story(plan: Plan, deeds: dict[str, Deed]) -> outputs.Story:
    """The attempts that count, in the form that a race's record is made from."""
    everybody = plan.model_copy(update={"profiles": {**plan.profiles, **plan.workers}})
    return outputs.Story(
        plan=everybody,
        dispatched={node: deed.dispatched for node, deed in deeds.items() if deed.dispatched is not None},
        tried={node: deed.tried for node, deed in deeds.items() if deed.tried is not None},
        judged={node: deed.judged for node, deed in deeds.items()},
    )


def _settlements(
    plan: Plan, deeds: dict[str, Deed], selection: Selection, before: Recorded | None
) -> tuple[Settlement, ...]:
    """One per node; what was not done again keeps the settlement that it has, unless its outcome is another now."""
    old = {one.node: one for one in before.settlements} if before else {}
    settled: list[Settlement] = []
    for node in plan.graph.agent_nodes:
        deed = deeds[node.id]
        outcome = _outcome(plan, deed, selection)
        prior = old.get(node.id)
        if prior is not None and (prior.attempt, prior.outcome) == (deed.attempt, outcome):
            settled.append(prior)
        else:
            supersedes = prior.digest if prior else ""
            settled.append(settle(deed.mandate, deed.judged.report, outcome, supersedes=supersedes))
    return tuple(settled)


def _outcome(plan: Plan, deed: Deed, selection: Selection) -> Outcome:
    report = deed.judged.report
    if not (_selects(plan.graph) and deed.spec.id in plan.profiles):
        return Outcome.COMPLETE if report.verdict is Verdict.PASS else Outcome.REJECTED
    winner = next((node for node, profile in plan.profiles.items() if profile.name == selection.winner), None)
    return race_outcome(deed.spec.id, winner=winner, admissible=report.verdict is Verdict.PASS)


def _selects(graph: Graph) -> bool:
    join = graph.aggregation.join
    return join is not None and join.kind == JoinKind.SELECTION


def _files(
    world: World, run: Run, deeds: list[Deed], story: outputs.Story, decision: outputs.Decision, number: int
) -> dict[str, bytes]:
    secrets = secrets_of(world.access.environ)
    book = establish_authority(world, run.id, number)
    new = [deed for deed in deeds if (deed.correction.number if deed.correction else 0) == number]
    files = {
        **node_files(story, new, secrets),
        **outputs.decision_files(story.plan, decision, secrets),
        "events.jsonl": events_file(
            world, run.id, story, deeds, decision, trail.delegated(all_authority(world, run.id))
        ),
        trail.AUDIT_FILE: trail.audit_file(story, book, decision.selection, signer_of(world, run.id)),
        **compliance_of(run, story, decision, secrets),
    }
    if decision.winner is not None:
        files["attestation.json"] = attestation_of(world, run, story, decision.selection, decision.winner)
    return files
