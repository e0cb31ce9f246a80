"""Let one node start: mint its single-use token, check it, and consume it in one atomic update."""

from execution.artifacts import PLAN, Dispatched, Plan, token_name
from execution.authority import require_agent, require_orchestrator
from execution.policies import require_dispatch
from execution.problems import RunProblem
from execution.world import World
from governance.graph import Capability
from governance.mandate import Mandate
from governance.reasons import RefusedError
from governance.tokens import check, inputs_digest, mint
from governance.trust.verify import Level


async def dispatch(
    world: World, run_id: str, node: str, consumer: str, capability: Capability = Capability.WRITE
) -> Dispatched:
    """Give `node` its permission to start, exactly once; or record that its agent may not act, which harms no other.

    Args:
        world: dependencies.
        run_id: the run.
        node: the graph node.
        consumer: the durable workflow that will use the permission; it alone may come back after a crash.
        capability: what the node is to do: a candidate writes, a reviewer reads.

    Raises:
        RunProblem: the token was refused, or nobody's word lets the run go on; the code says why.
    """
    mandate = world.store.load(run_id, PLAN, Plan).mandate(node)
    return await permit(world, mandate, token_name(node), consumer, capability)


async def permit(world: World, mandate: Mandate, name: str, consumer: str, capability: Capability) -> Dispatched:
    """Mint, check and consume the one token of a mandate.

    Args:
        world: dependencies.
        mandate: whose holder may start.
        name: under which the token is stored.
        consumer: see `dispatch`.
        capability: see `dispatch`.

    Raises:
        RunProblem: the token was refused, or nobody's word lets the run go on; the code says why.
    """
    await require_orchestrator(world, mandate.run, capability, Level.FULL)
    minted = mint(mandate, capability, expires_ms=mandate.deadline_ms, nonce=world.nonce())
    denied = await _denied(world, mandate, capability)
    world.store.put(mandate.run, name, Dispatched(token=minted, dispatched_ms=world.now_ms(), **denied))
    dispatched = world.store.load(mandate.run, name, Dispatched)
    if dispatched.denied:
        return dispatched
    world.store.issue_token(dispatched.token.id)
    use(world, dispatched, mandate, consumer, capability)
    return dispatched


async def _denied(world: World, mandate: Mandate, capability: Capability) -> dict[str, str]:
    """Why the node's agent may not act; nothing when it may."""
    try:
        await require_agent(world, mandate, capability)
        require_dispatch(world, mandate, capability)
    except RefusedError as refused:
        return {"denied": str(refused.code), "denial": str(refused)}
    return {}


def use(world: World, dispatched: Dispatched, mandate: Mandate, consumer: str, capability: Capability) -> None:
    """Check and consume a token at the point of use.

    Raises:
        RunProblem: refused, with the reason's code.
    """
    try:
        check(
            dispatched.token,
            run=mandate.run,
            node=mandate.node,
            attempt=mandate.attempt,
            agent=mandate.agent,
            capability=capability,
            inputs_digest=inputs_digest(mandate.inputs),
            now_ms=world.now_ms(),
        )
    except RefusedError as refused:
        raise RunProblem(str(refused), code=str(refused.code)) from None
    if not world.store.consume_token(dispatched.token.id, consumer):
        raise RunProblem(f"dispatch token of node {mandate.node} was already used", code="DISPATCH_REUSED")
