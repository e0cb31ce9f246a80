"""Let one node start: mint its single-use token, check it, and consume it in one atomic update."""

from execution.artifacts import PLAN, Dispatched, Plan, token_name
from execution.problems import RunProblem
from execution.world import World
from governance.graph import Capability
from governance.mandate import Mandate
from governance.reasons import RefusedError
from governance.tokens import check, mint


async def dispatch(
    world: World, run_id: str, node: str, consumer: str, capability: Capability = Capability.WRITE
) -> Dispatched:
    """Give `node` its permission to start, exactly once.

    Args:
        world: dependencies.
        run_id: the run.
        node: the graph node.
        consumer: the durable workflow that will use the permission; it alone may come back after a crash.
        capability: what the node is to do: a candidate writes, a reviewer reads.

    Raises:
        RunProblem: the token was refused; the code says why.
    """
    mandate = world.store.load(run_id, PLAN, Plan).mandate(node)
    minted = mint(mandate, capability, expires_ms=mandate.deadline_ms, nonce=world.nonce())
    world.store.put(run_id, token_name(node), Dispatched(token=minted, dispatched_ms=world.now_ms()))
    dispatched = world.store.load(run_id, token_name(node), Dispatched)
    world.store.issue_token(dispatched.token.id)
    use(world, dispatched, mandate, consumer, capability)
    return dispatched


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
            inputs_digest=dispatched.token.inputs_digest,
            now_ms=world.now_ms(),
        )
    except RefusedError as refused:
        raise RunProblem(str(refused), code=str(refused.code)) from None
    if not world.store.consume_token(dispatched.token.id, consumer):
        raise RunProblem(f"dispatch token of node {mandate.node} was already used", code="DISPATCH_REUSED")
