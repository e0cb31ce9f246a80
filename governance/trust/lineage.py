"""The authority of one run: installation, the person who asked, the orchestrator, and the agent of every node.

All keys are derived from the installation's, so nothing but that one key is stored, and whoever holds it can make every
signature here. What that proves, and what it does not, is told in docs/trust.md.
"""

from collections.abc import Mapping, Sequence

from governance.mandate import Mandate
from governance.nodes import Capability
from governance.trust.chain import in_force
from governance.trust.constraints import BUDGET, MAXIMUM, PATHS, REQUIRED, Constraint, Fact
from governance.trust.envelope import Envelope
from governance.trust.operations import Party, Terms, delegate, establish, found
from governance.trust.records import Book, Revocation, public_key
from governance.trust.registry import register
from governance.trust.verify import Act
from ledger.keys import Signer

PUBLISH = "publish"
ORCHESTRATOR = "orchestrator:optr"
RUN_LASTS_MS = 30 * 24 * 3_600_000  # longer than a plan may wait for its approval

PATHS_NAME = "paths"
BUDGET_NAME = "budget_microusd"
TOKENS_NAME = "tokens"
STEPS_NAME = "steps"
READ_ONLY_NAME = "read_only"


def authority(signer: Signer) -> Party:
    """The installation, whose key is the ledger's."""
    return Party(f"installation:{signer.origin}", signer)


def person(signer: Signer, name: str) -> Party:
    """A person who asks, with the key that the installation keeps for them."""
    return Party(f"human:{name}", signer.derive(f"human:{name}"))


def orchestrator(signer: Signer, run: str) -> Party:
    """OPTR itself, with a key for this run only."""
    return Party(ORCHESTRATOR, signer.derive(f"{ORCHESTRATOR}/{run}"))


def agent(signer: Signer, mandate: Mandate) -> Party:
    """The agent of a node, with a key for this node of this run only."""
    name = f"agent:{mandate.agent}"
    return Party(name, signer.derive(f"{name}/{task_of(mandate)}"))


def task_of(mandate: Mandate) -> str:
    """`<run>/<node>`."""
    return f"{mandate.run}/{mandate.node}"


def draw_up(signer: Signer, requester: str, mandates: Sequence[Mandate], now_ms: int) -> Book:
    """Everything that a run's acts will rest on, signed.

    The person is attested what the mandates hold together, and publishing. The orchestrator is delegated all of it, and
    each node's agent its mandate: capabilities, lane, budget, commands and deadline.

    Args:
        signer: the installation's key.
        requester: who asked.
        mandates: of all agent nodes of one run; at least one.
        now_ms: milliseconds since the epoch.

    Raises:
        RefusedError: a mandate cannot be handed on; see `governance.trust.operations.delegate`.
    """
    run = mandates[0].run
    root, asked_by, optr = authority(signer), person(signer, requester), orchestrator(signer, run)
    capabilities = (*dict.fromkeys(word for one in mandates for word in one.capabilities), PUBLISH)
    expires_ms = max(now_ms + RUN_LASTS_MS, *(one.deadline_ms for one in mandates))
    book = establish(
        found(root),
        root,
        subject=asked_by.name,
        subject_key=asked_by.key,
        capabilities=capabilities,
        envelope=Envelope(constraints=_widest(mandates)),
        issued_ms=now_ms,
        expires_ms=expires_ms,
    )
    terms = Terms(task=run, capabilities=capabilities, expires_ms=expires_ms)
    book, given = delegate(book, asked_by, optr.name, optr.key, terms, now_ms=now_ms)
    for mandate in mandates:
        who, part = agent(signer, mandate), _terms(mandate)
        book, _ = delegate(book, optr, who.name, who.key, part, now_ms=now_ms, parent=given.id)
    return book


def enrol(signer: Signer, held: Mapping[str, Sequence[str]], revocations: Sequence[Revocation], now_ms: int) -> Book:
    """The installation's register of agents: what each may do at most, signed, before any run asks for it.

    Args:
        signer: the installation's key.
        held: capabilities by the agent's name; none of them registers nobody.
        revocations: what was taken back up to now.
        now_ms: milliseconds since the epoch.
    """
    root, expires_ms = authority(signer), now_ms + RUN_LASTS_MS
    book = found(root)
    for name, capabilities in sorted(held.items()):
        actor = f"agent:{name}"
        key = public_key(signer.derive(actor))
        book = register(book, root, actor, key, capabilities, now_ms=now_ms, expires_ms=expires_ms)
    return book.model_copy(update={"revocations": tuple(in_force(revocations).values())})


def agent_act(signer: Signer, mandate: Mandate, capability: str, spent: Mapping[str, Fact]) -> Act:
    """What the agent of a node wants to do. What `spent` does not name, it does not spend."""
    who = agent(signer, mandate)
    return Act(who.name, who.key, capability, task_of(mandate), {**_facts(capability), **spent})


def orchestrator_act(signer: Signer, run: str, capability: str) -> Act:
    """What the orchestrator wants to do."""
    who = orchestrator(signer, run)
    return Act(who.name, who.key, capability, run, _facts(capability))


def _facts(capability: str) -> dict[str, Fact]:
    nothing: dict[str, Fact] = {PATHS_NAME: (), BUDGET_NAME: 0, TOKENS_NAME: 0, STEPS_NAME: 0}
    return nothing | {READ_ONLY_NAME: capability == Capability.READ}


def _widest(mandates: Sequence[Mandate]) -> dict[str, Constraint]:
    return {
        PATHS_NAME: Constraint(type=PATHS, value=tuple(dict.fromkeys(path for one in mandates for path in one.paths))),
        BUDGET_NAME: Constraint(type=BUDGET, value=sum(one.budget_microusd for one in mandates)),
        TOKENS_NAME: Constraint(type=BUDGET, value=sum(one.tokens for one in mandates)),
        STEPS_NAME: Constraint(type=MAXIMUM, value=max(one.steps for one in mandates)),
    }


def _terms(mandate: Mandate) -> Terms:
    limits = {
        PATHS_NAME: Constraint(type=PATHS, value=mandate.paths),
        BUDGET_NAME: Constraint(type=BUDGET, value=mandate.budget_microusd),
        TOKENS_NAME: Constraint(type=BUDGET, value=mandate.tokens),
        STEPS_NAME: Constraint(type=MAXIMUM, value=mandate.steps),
        READ_ONLY_NAME: Constraint(type=REQUIRED, value=set(mandate.capabilities) <= {Capability.READ.value}),
    }
    return Terms(
        task=task_of(mandate), capabilities=mandate.capabilities, constraints=limits, expires_ms=mandate.deadline_ms
    )
