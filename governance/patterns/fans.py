"""Patterns in which several work side by side."""

from governance.graph import CANDIDATE_CAPABILITIES, JoinKind
from governance.patterns.cast import Cast, Pattern, Setting
from governance.workflow import RACE, RESULT_ID, Contest, Flow, Workflow, WorkflowProblemError

AGENTS_MAX = 8
SUBTASKS_MAX = 16
NOBODY = "nobody"

# 0 stands for all of them: whoever tolerates failure says so beforehand.
_MINIMUM = Setting(default=0, least=0, most=SUBTASKS_MAX)


def _race(cast: Cast) -> Contest:
    return Contest(agents=cast.roles["agents"], reviewers=cast.roles["reviewers"])


def _gather(
    flow: Workflow, sources: list[str], minimum: int, *, task: str, agent: str, fields: tuple[str, ...]
) -> Flow:
    """Bring sources together in one node whose patch is the result."""
    if minimum > len(sources):
        raise WorkflowProblemError(f"option minimum is {minimum}, but there are only {len(sources)} to wait for")
    kind = JoinKind.QUORUM if minimum else JoinKind.ALL
    flow.add_sync("MET", kind, minimum or 1)
    for source in sources:
        flow.connect(source, "MET")
    flow.add_agent("JOIN", agent, capabilities=CANDIDATE_CAPABILITIES, task=task)
    return flow.connect("MET", "JOIN", fields=fields).build()


def _parallel(cast: Cast) -> Flow:
    flow, names = Workflow("parallel"), []
    for number, agent in enumerate(cast.roles["agents"], 1):
        names.append(f"P{number}")
        task = cast.task("agents", "Do the part of the change that you are best at, and note what you left out.")
        flow.add_agent(
            names[-1], agent, capabilities=CANDIDATE_CAPABILITIES, task=task, output={"notes": "string"}, checks=False
        )
    task = cast.task("joiner", "The patches of the others are in the files already; make one whole of them.")
    return _gather(flow, names, cast.options["minimum"], task=task, agent=cast.one("joiner"), fields=("patch", "notes"))


def _supervisor_worker(cast: Cast) -> Flow:
    workers, supervisor = cast.roles["workers"], cast.one("supervisor")
    slots = cast.options["slots"] or len(workers)
    flow = Workflow("supervisor_worker").add_agent(
        "DIVIDE",
        supervisor,
        task=cast.task("supervisor", f"Divide the change into subtasks for {slots} workers who do not see each other."),
        output={"subtasks": "strings"},
    )
    names = []
    for number in range(1, slots + 1):
        names.append(f"W{number}")
        # Every subtask has a taker, however many there are: round-robin over the slots, then queued in each.
        theirs = ", ".join(str(number + slots * turn) for turn in range(3))
        task = f"Of the numbered subtasks do {theirs} and so on; change nothing if there is none of these."
        flow.add_agent(
            names[-1],
            workers[(number - 1) % len(workers)],
            capabilities=CANDIDATE_CAPABILITIES,
            task=cast.task("workers", "Do your subtasks.") + " " + task,
            checks=False,
        )
        flow.connect("DIVIDE", names[-1], fields=("subtasks",))
    task = "The workers' patches are in the files already; make one whole of them and finish what is missing."
    return _gather(flow, names, cast.options["minimum"], task=task, agent=supervisor, fields=("patch",))


def _router(cast: Cast) -> Flow:
    specialists = cast.roles["specialists"]
    if len(set(specialists)) != len(specialists) or NOBODY in specialists:
        raise WorkflowProblemError(f"pattern router: name each specialist once, and none {NOBODY}")
    known = ", ".join(specialists)
    flow = Workflow("router").finish(JoinKind.SELECTION)
    flow.add_agent(
        "ROUTE",
        cast.one("router"),
        task=cast.task("router", f"Choose who does this best: {known}; or {NOBODY}."),
        output={"to": "|".join((*specialists, NOBODY))},
    )
    for number, agent in enumerate(specialists, 1):
        task = cast.task("specialists", "")
        flow.add_agent(f"R{number}", agent, capabilities=CANDIDATE_CAPABILITIES, task=task)
        flow.connect("ROUTE", f"R{number}", when=("to", agent))
        flow.connect(f"R{number}", RESULT_ID)
    return flow.build()


def _ensemble(cast: Cast) -> Flow:
    flow, names = Workflow("ensemble"), []
    for number, agent in enumerate(cast.roles["experts"], 1):
        names.append(f"E{number}")
        task = cast.task("experts", "Analyse what is asked from your side and say what the change must respect.")
        flow.add_agent(names[-1], agent, task=task, output={"advice": "string"})
    task = cast.task("synthesizer", "Make the change; weigh what the experts say.")
    return _gather(flow, names, cast.options["minimum"], task=task, agent=cast.one("synthesizer"), fields=("advice",))


FANS = (
    Pattern(
        RACE,
        "Agents compete apart from each other, reviewers may veto, the best admissible patch is the result.",
        {"agents": (1, 16), "reviewers": (0, 4)},
        _race,
    ),
    Pattern(
        "parallel",
        "Several do parts at the same time; a joiner makes one whole of them.",
        {"agents": (2, AGENTS_MAX), "joiner": (1, 1)},
        _parallel,
        {"minimum": _MINIMUM},
    ),
    Pattern(
        "supervisor_worker",
        "A supervisor divides the work, workers do all of it, the supervisor puts it together.",
        {"supervisor": (1, 1), "workers": (1, AGENTS_MAX)},
        _supervisor_worker,
        {"slots": Setting(default=0, least=0, most=SUBTASKS_MAX), "minimum": _MINIMUM},
    ),
    Pattern(
        "router",
        "A router chooses the one specialist who works; nobody else is dispatched.",
        {"router": (1, 1), "specialists": (2, AGENTS_MAX)},
        _router,
    ),
    Pattern(
        "ensemble",
        "Experts advise apart from each other; a synthesizer makes the change.",
        {"experts": (2, AGENTS_MAX), "synthesizer": (1, 1)},
        _ensemble,
        {"minimum": _MINIMUM},
    ),
)
