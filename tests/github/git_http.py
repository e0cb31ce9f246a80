"""Git smart HTTP: stock git against the bare repositories, with GitHub's refusals."""

import re
from collections.abc import Mapping

from aiohttp import web

from tests.github import ref_moves, rules
from tests.github.git_store import GitRepository
from tests.github.identity import Kind, Principal
from tests.github.mirror import changes_between, to_emulator
from tests.github.permissions import RANKS, role_at_least
from tests.github.wire import ApiError, Json
from tests.github.world import World

GIT_PATH = re.compile(
    r"/(?P<owner>[^/]+)/(?P<repo>[^/]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|git-receive-pack)"
)
CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}


async def answer(world: World, request: web.Request, body: bytes, found: Mapping[str, str]) -> web.Response:
    """Answer one git request; a push is mirrored and announced before it returns."""
    try:
        principal = world.identity.authenticate(request.headers.get("Authorization"))
        service = request.query.get("service") or found["rest"]
        row = await _allowed(world, principal, f"{found['owner']}/{found['repo']}", writing="receive-pack" in service)
    except ApiError as error:
        headers = CHALLENGE if error.status == 401 else {}
        return web.Response(status=error.status, text=error.message + "\n", headers=headers)
    environment = await _environment(world, request, row, principal, found["rest"], len(body))
    if found["rest"] != "git-receive-pack":
        return _response(*await world.git.serve(environment, body))
    async with world.lock:
        git = await world.bare(row)
        before = await git.refs()
        served = await world.git.serve(environment, body)
        await _mirror_push(world, row, git, before, principal)
    return _response(*served)


async def _allowed(world: World, principal: Principal, full_name: str, *, writing: bool) -> Json:
    """Return the repository's row. Raises ApiError 401, 403 or 404 in git's words."""
    missing = ApiError(404, "Repository not found.")
    try:
        row = await world.row(full_name)
    except ApiError as error:
        raise ApiError(401, "Authentication required.") if principal.kind is Kind.ANONYMOUS else missing from error
    if not await world.can_read(principal, row):
        raise ApiError(401, "Authentication required.") if principal.kind is Kind.ANONYMOUS else missing
    if principal.kind is Kind.ANONYMOUS:
        if writing:
            raise ApiError(401, "Authentication required.")
        return row
    if principal.kind is Kind.APP:
        raise ApiError(401, "Invalid username or token.")
    if principal.token is not None:
        rank = RANKS[principal.token.permissions.get("contents", "none")]
        if rank < RANKS["read"]:
            raise missing
        may_write = rank >= RANKS["write"]
    else:
        may_write = role_at_least(await world.role(principal.login or "ghost", row), "write")
    if writing and not may_write:
        raise ApiError(403, "Write access to repository not granted.")
    return row


async def _environment(
    world: World, request: web.Request, row: Json, principal: Principal, rest: str, length: int
) -> dict[str, str]:
    git = await world.bare(row)
    branches = [ref.removeprefix("refs/heads/") for ref in await git.refs() if ref.startswith("refs/heads/")]
    token = principal.token
    workflows = "write" if token is None else token.permissions.get("workflows", "none")
    return {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": f"/{row['full_name']}.git/{rest}",
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(length),
        "HTTP_CONTENT_ENCODING": "",  # the server has already inflated the body
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": principal.login or "",
        "REMOTE_ADDR": "127.0.0.1",
        "FACADE_WORKFLOWS": workflows,
        "FACADE_PROTECTED": " ".join(rules.closed_to_pushes(world, row, [*branches, row["default_branch"]])),
    }


async def _mirror_push(
    world: World, row: Json, git: GitRepository, before: Mapping[str, str], principal: Principal
) -> None:
    await to_emulator(world.emulator, row["id"], git, before)
    moved = changes_between(before, await git.refs())
    await ref_moves.announce(world, row, git, moved, principal.login or "ghost")


def _response(status: int, headers: Mapping[str, str], body: bytes) -> web.Response:
    return web.Response(status=status, headers=dict(headers), body=body)
