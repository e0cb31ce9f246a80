"""Patterns in which several talk a matter over. The counting is ours, never a model's."""

from governance.graph import CANDIDATE_CAPABILITIES, JoinKind
from governance.patterns.cast import Cast, Pattern, Setting
from governance.workflow import RESULT_ID, Flow, Workflow, WorkflowProblemError

ROUNDS_MAX = 10  # of a blackboard
DEBATE_ROUNDS_MAX = 3
SOLVED, STUCK = "solved", "stuck"


def _blackboard(cast: Cast) -> Flow:
    specialists, rounds = cast.roles["specialists"], cast.options["rounds"]
    if len(set(specialists)) != len(specialists) or {SOLVED, STUCK} & set(specialists):
        raise WorkflowProblemError(f"pattern blackboard: name each specialist once, and none {SOLVED} or {STUCK}")
    flow = Workflow("blackboard")
    for turn in range(1, rounds + 1):
        _look(flow, cast, turn, specialists)
        _add(flow, cast, turn, specialists)
    _look(flow, cast, rounds + 1, ())
    flow.add_sync("SOLVED", JoinKind.QUORUM, 1)
    for turn in range(1, rounds + 2):
        flow.connect(f"C{turn}", "SOLVED", when=("next", SOLVED))
    task = cast.task("integrator", "The problem on the board is solved; make the change that the board describes.")
    flow.add_agent("INTEGRATE", cast.one("integrator"), capabilities=CANDIDATE_CAPABILITIES, task=task)
    return flow.connect("SOLVED", "INTEGRATE", fields=("board",)).build()


def _look(flow: Workflow, cast: Cast, turn: int, specialists: tuple[str, ...]) -> None:
    """The controller sums up the board and picks who adds to it; at the last look there is nobody left to pick."""
    controller = f"C{turn}"
    who = f"say who should add to it next: {', '.join(specialists)}; or" if specialists else "say"
    flow.add_agent(
        controller,
        cast.one("controller"),
        task=cast.task(
            "controller",
            f"Sum up the board, then {who} {SOLVED} when it holds all that is needed, or {STUCK} when it does not "
            "and nothing new comes.",
        ),
        output={"next": "|".join((*specialists, SOLVED, STUCK)), "board": "string"},
    )
    for earlier in range(1, turn):
        flow.connect(f"BOARD{earlier}", controller, fields=("contribution",))


def _add(flow: Workflow, cast: Cast, turn: int, specialists: tuple[str, ...]) -> None:
    """One turn of the bounded loop: the one who was picked adds to the board and does nothing else."""
    flow.add_sync(f"BOARD{turn}", JoinKind.QUORUM, 1)
    for number, agent in enumerate(specialists, 1):
        name = f"B{turn}S{number}"
        task = cast.task("specialists", "Add to the board what only you know, in a few sentences.")
        flow.add_agent(name, agent, task=task, output={"contribution": "string"})
        flow.connect(f"C{turn}", name, fields=("board",), when=("next", agent))
        flow.connect(name, f"BOARD{turn}")


def _consensus(cast: Cast) -> Flow:
    voters = cast.roles["voters"]
    needed = cast.options["approvals"] or len(voters) // 2 + 1
    if needed > len(voters):
        raise WorkflowProblemError(f"pattern consensus: {needed} approvals of {len(voters)} voters cannot be had")
    if cast.one("proposer") in voters:
        raise WorkflowProblemError("pattern consensus: the proposer has no vote on its own proposal")
    flow = Workflow("consensus").add_agent(
        "PROPOSE",
        cast.one("proposer"),
        capabilities=CANDIDATE_CAPABILITIES,
        task=cast.task("proposer", "Make the change; others will vote on it."),
    )
    # Whoever abstains or fails has not approved: the threshold is of all voters.
    flow.add_sync("TALLY", JoinKind.QUORUM, needed)
    for number, agent in enumerate(voters, 1):
        task = cast.task("voters", "Judge the proposed change, which is in the files, and vote.")
        flow.add_agent(f"V{number}", agent, task=task, output={"vote": "approve|reject|abstain", "reason": "string"})
        flow.connect("PROPOSE", f"V{number}", fields=("patch",)).connect(
            f"V{number}", "TALLY", when=("vote", "approve")
        )
    return flow.connect("TALLY", RESULT_ID).build()


def _debate(cast: Cast) -> Flow:
    judge = cast.one("judge")
    if judge in {cast.one("proposer"), cast.one("proponent"), cast.one("opponent")}:
        raise WorkflowProblemError(f"pattern debate: {judge} cannot judge a debate in which it takes part")
    flow = Workflow("debate").add_agent(
        "PROPOSE",
        cast.one("proposer"),
        capabilities=CANDIDATE_CAPABILITIES,
        task=cast.task("proposer", "Make the change; it will be debated."),
    )
    spoken: list[str] = []
    for turn in range(1, cast.options["rounds"] + 1):
        for side, role, words in (("PRO", "proponent", "for"), ("CON", "opponent", "against")):
            name = f"{side}{turn}"
            task = cast.task(role, f"Argue {words} taking the change as it stands in the files; answer the other side.")
            flow.add_agent(name, cast.one(role), task=task, output={"argument": "string"})
            flow.connect("PROPOSE", name, fields=("patch",))
            for earlier in spoken:
                flow.connect(earlier, name, fields=("argument",))
            spoken.append(name)
    task = cast.task("judge", "Judge the debate: is it better to take the change (for) or not (against)?")
    flow.add_agent("JUDGE", judge, task=task, output={"ruling": "for|against|tie", "reason": "string"})
    flow.connect("PROPOSE", "JUDGE", fields=("patch",))
    for name in spoken:
        flow.connect(name, "JUDGE", fields=("argument",))
    return flow.connect("JUDGE", RESULT_ID, when=("ruling", "for")).build()


COUNCILS = (
    Pattern(
        "blackboard",
        "A controller picks who adds to the board, for a bounded number of rounds; only a solved one is carried out.",
        {"controller": (1, 1), "specialists": (1, 4), "integrator": (1, 1)},
        _blackboard,
        {"rounds": Setting(default=3, least=1, most=ROUNDS_MAX)},
    ),
    Pattern(
        "consensus",
        "One proposes, others vote; a fixed number of approvals of all voters decides.",
        {"proposer": (1, 1), "voters": (2, 8)},
        _consensus,
        {"approvals": Setting(default=0, least=0, most=8)},
    ),
    Pattern(
        "debate",
        "A change is argued for and against in turns; a judge who took no part rules on it.",
        {"proposer": (1, 1), "proponent": (1, 1), "opponent": (1, 1), "judge": (1, 1)},
        _debate,
        {"rounds": Setting(default=1, least=1, most=DEBATE_ROUNDS_MAX)},
    ),
)
