"""Patterns in which one works after the other."""

from governance.graph import CANDIDATE_CAPABILITIES, JoinKind
from governance.patterns.cast import Cast, Pattern
from governance.workflow import RESULT_ID, Flow, Workflow

NOTES = {"notes": "string"}


def _sequential(cast: Cast) -> Flow:
    agents = cast.roles["agents"]
    flow = Workflow("sequential")
    for number, agent in enumerate(agents, 1):
        last = number == len(agents)
        words = "Finish the change." if last else "Do your part of the change and note what the next one should do."
        task = cast.task("agents", words)
        flow.add_agent(f"S{number}", agent, capabilities=CANDIDATE_CAPABILITIES, task=task, output=NOTES, checks=last)
        if number > 1:
            flow.connect(f"S{number - 1}", f"S{number}", fields=("patch", "notes"))
    return flow.build()


def _handoff(cast: Cast) -> Flow:
    tiers = cast.roles["tiers"]
    flow = Workflow("handoff").finish(JoinKind.SELECTION)
    for number, agent in enumerate(tiers, 1):
        words = ("done", "refuse") if number == len(tiers) else ("done", "escalate")
        task = f"Make the change and say done; if it is beyond you, change nothing and say {words[1]}, with notes why."
        output = {"outcome": "|".join(words), **NOTES}
        flow.add_agent(
            f"T{number}", agent, capabilities=CANDIDATE_CAPABILITIES, task=cast.task("tiers", task), output=output
        )
        flow.connect(f"T{number}", RESULT_ID, when=("outcome", "done"))
        if number > 1:
            flow.connect(f"T{number - 1}", f"T{number}", fields=("notes",), when=("outcome", "escalate"))
    return flow.build()


def _plan_pipeline(cast: Cast) -> Flow:
    writers = cast.roles["writers"]
    flow = Workflow("plan_pipeline").add_agent(
        "PLAN",
        cast.one("planner"),
        task=cast.task("planner", "Plan the change: say which files change, how, and how to test it."),
        output={"steps": "strings"},
    )
    names = [f"WRITE{number}" for number in range(1, len(writers) + 1)]
    for number, (name, agent) in enumerate(zip(names, writers, strict=True), 1):
        part = "" if len(writers) == 1 else f" You are writer {number} of {len(writers)}: do every such step."
        task = cast.task("writers", "Carry out the plan.") + part
        alone = len(writers) == 1  # a part of a change need not work without the others
        flow.add_agent(name, agent, capabilities=CANDIDATE_CAPABILITIES, task=task, checks=alone)
        flow.connect("PLAN", name, fields=("steps",))
    flow.add_agent(
        "TEST",
        cast.one("tester"),
        capabilities=CANDIDATE_CAPABILITIES,
        task=cast.task("tester", "Add the tests that the change needs, and run all of them."),
        output=NOTES,
    )
    for name in names:
        flow.connect(name, "TEST", fields=("patch",))
    flow.add_agent(
        "AUDIT",
        cast.one("auditor"),
        task=cast.task("auditor", "Look for what is wrong, weak or unsafe in the change; say whether it is sound."),
        output={"opinion": "sound|unsound", "findings": "strings"},
    )
    flow.connect("TEST", "AUDIT", fields=("patch", "notes"))
    return flow.connect("AUDIT", RESULT_ID, when=("opinion", "sound")).build()


CHAINS = (
    Pattern(
        "sequential",
        "One after the other: each starts from the patch of the one before; the last one's is the result.",
        {"agents": (2, 8)},
        _sequential,
    ),
    Pattern(
        "handoff",
        "The first tier that can do it does; one that cannot hands on and its permission ends.",
        {"tiers": (2, 5)},
        _handoff,
    ),
    Pattern(
        "plan_pipeline",
        "A planner, code-writers, a tester and an auditor, strictly in that order; the auditor must find it sound.",
        {"planner": (1, 1), "writers": (1, 4), "tester": (1, 1), "auditor": (1, 1)},
        _plan_pipeline,
    ),
)
