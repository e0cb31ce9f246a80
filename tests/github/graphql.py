"""The two GraphQL mutations with compare-and-swap: ``createCommitOnBranch`` and ``updateRefs``.

Source: https://docs.github.com/graphql/reference/mutations. Other documents are answered with GraphQL's own error form
and recorded as violations, because nothing here could judge them.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from tests.github import ref_moves
from tests.github.git_store import NULL_SHA, GitRepository
from tests.github.identity import Kind
from tests.github.mirror import changes_between, to_emulator
from tests.github.permissions import RANKS, role_at_least
from tests.github.wire import ApiError, Call, Json, Reply, Route, not_found

MUTATION = re.compile(r"\b(createCommitOnBranch|updateRefs)\s*\(\s*input\s*:\s*\$(\w+)\s*\)")
INPUT_KEYS = {
    "createCommitOnBranch": {"branch", "message", "expectedHeadOid", "fileChanges", "clientMutationId"},
    "updateRefs": {"repositoryId", "refUpdates", "clientMutationId"},
}


class GraphqlError(Exception):
    """A mutation refused; ``kind`` is GitHub's ``type``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def endpoint(call: Call) -> Reply:
    """POST /graphql with the input in a variable."""
    body = call.json()
    found = MUTATION.search(str(body.get("query", "")))
    if found is None:
        call.world.journal.violate("graphql", str(body.get("query"))[:200], ("not a known mutation with $input",))
        return _errors("undefinedField", "the local GitHub knows createCommitOnBranch and updateRefs with $input")
    name, variable = found[1], found[2]
    given = (body.get("variables") or {}).get(variable)
    if not isinstance(given, dict) or set(given) - INPUT_KEYS[name]:
        call.world.journal.violate("graphql", name, (f"bad input keys: {sorted(given or ())}",))
        return _errors("argumentLiteralsIncompatible", f"Variable ${variable} of {name} was provided invalid value")
    try:
        result = await (_create_commit(call, given) if name == "createCommitOnBranch" else _update_refs(call, given))
    except GraphqlError as error:
        return Reply(
            200, {"data": {name: None}, "errors": [{"type": error.kind, "message": str(error), "path": [name]}]}
        )
    return Reply(200, {"data": {name: {"clientMutationId": given.get("clientMutationId"), **result}}})


def _errors(code: str, message: str) -> Reply:
    return Reply(200, {"errors": [{"message": message, "extensions": {"code": code}}]})


async def _writable(call: Call, full_name: str) -> Json:
    """Return the row of a repository the caller may write. Raises GraphqlError like GitHub."""
    missing = GraphqlError("NOT_FOUND", f"Could not resolve to a Repository with the name '{full_name}'.")
    try:
        row = await call.world.row(full_name)
    except ApiError as error:
        raise missing from error
    if not await call.world.can_read(call.principal, row):
        raise missing
    token = call.principal.token
    if call.principal.kind is Kind.INSTALLATION and token is not None:
        allowed = RANKS[token.permissions.get("contents", "none")] >= RANKS["write"]
    else:
        allowed = role_at_least(await call.world.role(call.principal.login or "ghost", row), "write")
    if not allowed:
        raise GraphqlError("FORBIDDEN", "Resource not accessible by integration")
    return row


async def _create_commit(call: Call, given: Json) -> Json:
    branch = given["branch"]
    row = await _writable(call, str(branch.get("repositoryNameWithOwner")))
    name = str(branch.get("branchName")).removeprefix("refs/heads/")
    git = await call.world.bare(row)
    before = await git.refs()
    tip = before.get(f"refs/heads/{name}")
    if tip is None:
        raise GraphqlError("NOT_FOUND", f"Could not resolve to a Ref with the name '{name}'.")
    if tip != given.get("expectedHeadOid"):
        raise GraphqlError(
            "STALE_DATA", f'Expected branch to point to "{given.get("expectedHeadOid")}" but it did not.'
        )
    tree = await _write_tree(git, tip, given.get("fileChanges") or {})
    message = given["message"]
    text = message["headline"] + (f"\n\n{message['body']}" if message.get("body") else "") + "\n"
    login = call.principal.login or "ghost"
    sha = await git.commit_tree(tree, [tip], text, (login, f"{login}@users.noreply.github.com"))
    await _move(call, row, git, {f"refs/heads/{name}": sha})
    url = f"{call.world.url}/{row['full_name']}/commit/{sha}"
    return {"commit": {"oid": sha, "url": url, "id": f"C_{sha[:12]}"}, "ref": {"name": name, "target": {"oid": sha}}}


async def _write_tree(git: GitRepository, tip: str, changes: Mapping[str, Any]) -> str:
    index = {"GIT_INDEX_FILE": str(git.path / f"index.{tip[:12]}")}
    await git.git("read-tree", tip, extra=index)
    lines = [f"0 {NULL_SHA}\t{one['path']}" for one in changes.get("deletions") or []]
    for one in changes.get("additions") or []:
        try:
            data = base64.b64decode(one["contents"], validate=True)
        except (ValueError, binascii.Error) as error:
            raise GraphqlError("UNPROCESSABLE", f"contents of {one['path']} are not base64") from error
        blob = (await git.git("hash-object", "-w", "--stdin", stdin=data)).decode().strip()
        lines.append(f"100644 {blob}\t{one['path']}")
    await git.git("update-index", "--index-info", stdin=("\n".join(lines) + "\n").encode(), extra=index)
    return (await git.git("write-tree", extra=index)).decode().strip()


async def _update_refs(call: Call, given: Json) -> Json:
    rows = await call.world.emulator.find("repos", node_id=str(given.get("repositoryId")))
    if not rows:
        raise GraphqlError(
            "NOT_FOUND", f"Could not resolve to a node with the global id of '{given.get('repositoryId')}'"
        )
    row = await _writable(call, rows[0]["full_name"])
    git = await call.world.bare(row)
    refs = await git.refs()
    moves: dict[str, str | None] = {}
    for one in given.get("refUpdates") or []:
        before = refs.get(one["name"], NULL_SHA)
        if one.get("beforeOid") is not None and one["beforeOid"] != before:
            raise GraphqlError("UNPROCESSABLE", f"Ref cannot be updated: {one['name']} is at {before}")
        after = one["afterOid"]
        if NULL_SHA not in {after, before} and not one.get("force") and not await git.is_ancestor(before, after):
            raise GraphqlError("UNPROCESSABLE", f"Ref cannot be updated: {one['name']} is not a fast forward")
        moves[one["name"]] = None if after == NULL_SHA else after
    await _move(call, row, git, moves)
    return {}


async def _move(call: Call, row: Json, git: GitRepository, moves: Mapping[str, str | None]) -> None:
    before = await git.refs()
    for ref, sha in moves.items():
        await git.set_ref(ref, sha)
    await to_emulator(call.world.emulator, row["id"], git, before)
    moved = changes_between(before, await git.refs())
    await ref_moves.announce(call.world, row, git, moved, call.principal.login or "ghost")


async def need_login(call: Call) -> Reply:
    """Refuse anonymous GraphQL like GitHub, then answer."""
    if call.principal.kind in {Kind.ANONYMOUS, Kind.APP}:
        raise (
            ApiError(401, "This endpoint requires you to be authenticated.")
            if call.principal.app is None
            else not_found()
        )
    return await endpoint(call)


ROUTES = (Route("POST", "/graphql", need_login),)
