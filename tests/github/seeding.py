"""Makes users, Apps, repositories, installations and merge groups: what people do in a browser."""

import base64
import secrets
import time

from tests.github import app_endpoints, payloads, ref_moves
from tests.github.mirror import RefChange, to_emulator
from tests.github.wire import Json
from tests.github.world import World, now_text, simple_user

ROLE_TO_PERMISSION = {"read": "pull", "write": "push", "triage": "triage", "maintain": "maintain", "admin": "admin"}
USER_SCOPES = ["repo", "user", "admin:org", "admin:repo_hook"]


async def ensure_user(world: World, login: str) -> Json:
    """Return a user's row, made when it is not there."""
    if login not in world.identity.users:
        await world.emulator.console("seed", users=[{"login": login, "name": login.title()}])
        (row,) = await world.emulator.find("users", login=login)
        world.identity.users[login] = {"login": login, "id": row["id"], "scopes": USER_SCOPES}
    (row,) = await world.emulator.find("users", login=login)
    return row


async def create_user(world: World, given: Json) -> Json:
    """Make a user and a token: ``login``."""
    row = await ensure_user(world, given["login"])
    token = f"ghp_{secrets.token_urlsafe(27)}"
    world.identity.user_tokens[token] = given["login"]
    return {"login": given["login"], "id": row["id"], "token": token}


async def rename_user(world: World, given: Json) -> Json:
    """Give a user another login, as people do; number and tokens stay: ``login``, ``to``."""
    old, new = given["login"], given["to"]
    row = await ensure_user(world, old)
    await world.emulator.update("users", row["id"], login=new)
    world.identity.users[new] = {**world.identity.users.pop(old), "login": new}
    for token, holder in world.identity.user_tokens.items():
        if holder == old:
            world.identity.user_tokens[token] = new
    return {"login": new, "id": row["id"]}


async def create_app(world: World, given: Json) -> Json:
    """Register an App: ``name``, ``owner``, ``webhook_url``, ``webhook_secret``, ``permissions``, ``events``."""
    await ensure_user(world, given["owner"])
    app = await app_endpoints.register(world, given, given["owner"])
    return {
        "id": app.id,
        "slug": app.slug,
        "client_id": app.client_id,
        "bot_login": app.bot_login,
        "private_key_pem": app.private_key_pem,
        "webhook_secret": app.webhook_secret,
    }


async def create_repository(world: World, given: Json) -> Json:
    """Make a repository: ``owner``, ``name``, ``private``, ``files`` (path to base64), ``default_branch``."""
    owner, name = given["owner"], given["name"]
    await ensure_user(world, owner)
    branch = given.get("default_branch", "main")
    spec = {
        "owner": owner,
        "name": name,
        "private": given.get("private", True),
        "auto_init": False,
        "default_branch": branch,
    }
    async with world.lock:
        await world.emulator.console("seed", repos=[spec])
        row = await world.row(f"{owner}/{name}")
        git = await world.bare(row)
        files = {path: base64.b64decode(data) for path, data in given.get("files", {}).items()}
        head = None
        if files:
            head = await git.first_commit(branch, files, (owner, f"{owner}@users.noreply.github.com"))
            await to_emulator(world.emulator, row["id"], git, {})
            await world.emulator.update("repos", row["id"], pushed_at=now_text())
    return {"id": row["id"], "node_id": row["node_id"], "full_name": row["full_name"], "head": head}


async def set_role(world: World, given: Json) -> Json:
    """Give a user a role on a repository: ``repository``, ``login``, ``role`` (none removes)."""
    row = await world.row(given["repository"])
    user = await ensure_user(world, given["login"])
    known = await world.emulator.find("collaborators", repo_id=row["id"], user_id=user["id"])
    for one in known:
        await world.emulator.console("query", collection="collaborators", op="delete", id=one["id"])
    if given["role"] != "none":
        permission = ROLE_TO_PERMISSION[given["role"]]
        await world.emulator.insert("collaborators", repo_id=row["id"], user_id=user["id"], permission=permission)
    return {"login": given["login"], "role": given["role"]}


async def install(world: World, given: Json) -> Json:
    """Install an App on an account: ``app_id``, and ``repository`` for one repository or ``account`` for all."""
    app = world.identity.apps[int(given["app_id"])]
    rows = [await world.row(given["repository"])] if given.get("repository") else []
    account = await ensure_user(world, given.get("account") or rows[0]["full_name"].partition("/")[0])
    known = set(world.identity.installations)
    chosen = [row["id"] for row in rows] if rows else None
    made = world.identity.install(app, simple_user(account, world.url), chosen, time.time())
    if made.id in known:
        await app_endpoints.announce_repositories(world, made, rows, [])
    else:
        await app_endpoints.announce_installation(world, made, "created", rows)
    return {"id": made.id, "app_id": app.id}


async def uninstall(world: World, given: Json) -> Json:
    """Remove an installation, or one ``repository`` from it: ``installation_id``."""
    one = world.identity.installations[int(given["installation_id"])]
    if not given.get("repository"):
        await app_endpoints.uninstall(world, one)
        return {}
    row = await world.row(given["repository"])
    one.repository_ids = [known for known in one.repository_ids or [] if known != row["id"]]
    if not given.get("silent"):
        await app_endpoints.announce_repositories(world, one, [], [row])
    return {}


async def merge_group(world: World, given: Json) -> Json:
    """Queue a pull request: ``repository``, ``number``, ``login``; ``destroy`` with a ``head_sha`` ends one."""
    row = await world.row(given["repository"])
    git = await world.bare(row)
    (pull,) = await world.emulator.find("pullRequests", repo_id=row["id"], number=int(given["number"]))
    base_ref = f"refs/heads/{pull['base_ref']}"
    before = await git.refs()
    base = before[base_ref]
    login = given["login"]
    author = (login, f"{login}@users.noreply.github.com")
    tree = await git.merge_tree(base, pull["head_sha"])
    sha = given.get("head_sha") or await git.commit_tree(tree, [base, pull["head_sha"]], "Merge queue\n", author)
    ref = f"refs/heads/gh-readonly-queue/{pull['base_ref']}/pr-{pull['number']}-{base}"
    action = "destroyed" if given.get("destroy") else "checks_requested"
    async with world.lock:
        await git.set_ref(ref, None if given.get("destroy") else sha)
        await to_emulator(world.emulator, row["id"], git, before)
        change = RefChange(ref, before.get(ref), sha)
        push = await payloads.push_payload(world, row, git, change, login)
        if action == "checks_requested":
            await ref_moves.request_suites(world, row, ref.removeprefix("refs/heads/"), change, push)
    head = {key: push["head_commit"][key] for key in ("id", "tree_id", "message", "timestamp", "author", "committer")}
    payload: Json = {
        "action": action,
        "merge_group": {
            "head_sha": sha,
            "head_ref": ref,
            "base_sha": base,
            "base_ref": base_ref,
            "head_commit": head,
        },
        "repository": payloads.complete_repository(await world.repository(row["full_name"])),
        "sender": await world.user(login),
    }
    if action == "destroyed":
        payload["reason"] = given.get("reason", "dequeued")
    world.outbox.publish("merge_group", payload, payload["repository"])
    return {"head_sha": sha, "head_ref": ref}
