"""The App's own API: itself, its installations, their tokens, its webhook deliveries, and manifests."""

import secrets
from typing import Any

from tests.github.check_records import app_of
from tests.github.identity import AppRecord, Installation, Kind
from tests.github.permissions import RANKS
from tests.github.wire import ApiError, Call, Json, Reply, Route, invalid, not_found, page_of
from tests.github.world import World, now_text

REPOSITORIES_PER_TOKEN_MAX = 500


def app_of_jwt(call: Call) -> AppRecord:
    """Return the App that signed the request. Raises ApiError 401."""
    if call.principal.kind is not Kind.APP or call.principal.app is None:
        raise ApiError(401, "A JSON web token could not be decoded")
    return call.principal.app


async def get_app(call: Call) -> Reply:
    """GET /app."""
    app = app_of_jwt(call)
    count = sum(one.app_id == app.id for one in call.world.identity.installations.values())
    return Reply(200, {**await app_of(call.world, app.id), "installations_count": count})


async def get_by_slug(call: Call) -> Reply:
    """GET /apps/{app_slug}."""
    for app in call.world.identity.apps.values():
        if app.slug == call.params["app_slug"]:
            return Reply(200, await app_of(call.world, app.id))
    raise not_found()


def installation_object(world: World, one: Installation) -> Json:
    """Render an installation as REST and webhooks do."""
    app = world.identity.apps[one.app_id]
    return {
        "id": one.id,
        "client_id": app.client_id,
        "account": one.account,
        "repository_selection": "all" if one.repository_ids is None else "selected",
        "access_tokens_url": f"{world.url}/app/installations/{one.id}/access_tokens",
        "repositories_url": f"{world.url}/installation/repositories",
        "html_url": f"{world.url}/settings/installations/{one.id}",
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": one.account["id"],
        "target_type": one.account["type"],
        "permissions": one.permissions,
        "events": one.events,
        "created_at": now_text(one.created_at),
        "updated_at": now_text(one.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None,
        "suspended_at": now_text(one.suspended_at) if one.suspended_at else None,
    }


def _own(call: Call) -> Installation:
    app = app_of_jwt(call)
    found = call.world.identity.installations.get(call.number("installation_id"))
    if found is None or found.app_id != app.id:
        raise not_found()
    return found


async def list_installations(call: Call) -> Reply:
    """GET /app/installations."""
    app = app_of_jwt(call)
    own = [one for one in call.world.identity.installations.values() if one.app_id == app.id]
    page, headers = page_of(call, [installation_object(call.world, one) for one in own])
    return Reply(200, page, headers)


async def get_installation(call: Call) -> Reply:
    """GET /app/installations/{installation_id}."""
    return Reply(200, installation_object(call.world, _own(call)))


async def delete_installation(call: Call) -> Reply:
    """DELETE /app/installations/{installation_id}."""
    await uninstall(call.world, _own(call))
    return Reply(204)


async def repo_installation(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/installation."""
    app, row = app_of_jwt(call), await call.world.repo_row(call)
    for one in call.world.identity.installations.values():
        if one.app_id == app.id and one.covers(row):
            return Reply(200, installation_object(call.world, one))
    raise not_found()


async def account_installation(call: Call) -> Reply:
    """GET /users/{username}/installation and /orgs/{org}/installation."""
    app = app_of_jwt(call)
    for one in call.world.identity.installations.values():
        if one.app_id == app.id and one.account["login"].lower() == call.params["account"].lower():
            return Reply(200, installation_object(call.world, one))
    raise not_found()


async def create_token(call: Call) -> Reply:
    """POST /app/installations/{installation_id}/access_tokens: narrows, never widens."""
    world, one, body = call.world, _own(call), call.json()
    if one.suspended_at:
        raise ApiError(403, "This installation has been suspended")
    permissions = _narrowed(one, body.get("permissions"))
    rows = await _chosen(world, one, body)
    token = world.identity.mint(one, permissions, None if rows is None else [row["id"] for row in rows])
    made: Json = {
        "token": token.value,
        "expires_at": now_text(token.expires_at),
        "permissions": permissions,
        "repository_selection": "selected" if rows is not None or one.repository_ids is not None else "all",
    }
    if rows is not None:
        made["repositories"] = [await world.repository(row["full_name"]) for row in rows]
    return Reply(201, made)


def _narrowed(one: Installation, wanted: dict[str, str] | None) -> dict[str, str]:
    if not wanted:
        return dict(one.permissions)
    for name, level in wanted.items():
        if RANKS.get(level, 9) > RANKS[one.permissions.get(name, "none")]:
            raise ApiError(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


async def _chosen(world: World, one: Installation, body: Json) -> list[Json] | None:
    names, ids = body.get("repositories"), body.get("repository_ids")
    if names is None and ids is None:
        return None
    wanted = [*(names or []), *(ids or [])]
    if len(wanted) > REPOSITORIES_PER_TOKEN_MAX:
        raise ApiError(422, f"at most {REPOSITORIES_PER_TOKEN_MAX} repositories may be named")
    rows = [row for row in await world.emulator.find("repos") if one.covers(row)]
    chosen = [row for row in rows if row["name"] in (names or []) or row["id"] in (ids or [])]
    if len(chosen) != len(set(wanted)):
        raise ApiError(422, "There is at least one repository that does not exist or is not accessible.")
    return chosen


async def revoke_token(call: Call) -> Reply:
    """DELETE /installation/token."""
    if call.principal.token is None:
        raise ApiError(401, "Bad credentials")
    call.principal.token.revoked = True
    return Reply(204)


async def token_repositories(call: Call) -> Reply:
    """GET /installation/repositories."""
    token = call.principal.token
    if token is None:
        raise ApiError(403, "You must authenticate with an installation access token.")
    rows = [row for row in await call.world.emulator.find("repos") if token.reaches(row)]
    shown = [await call.world.repository(row["full_name"]) for row in rows]
    page, headers = page_of(call, shown)
    chosen = "all" if token.repository_ids is None and token.installation.repository_ids is None else "selected"
    return Reply(200, {"total_count": len(rows), "repository_selection": chosen, "repositories": page}, headers)


async def convert_manifest(call: Call) -> Reply:
    """POST /app-manifests/{code}/conversions: a code works once."""
    manifest = call.world.identity.manifests.pop(call.params["code"], None)
    if manifest is None:
        raise not_found()
    if "url" not in manifest:
        raise invalid("App", "url", "missing_field")
    fields = {
        "name": manifest["name"],
        "webhook_url": manifest.get("hook_attributes", {}).get("url"),
        "webhook_secret": secrets.token_hex(20),
        "permissions": manifest.get("default_permissions", {}),
        "events": manifest.get("default_events", []),
    }
    app = await register(call.world, fields, manifest["owner"])
    given = {
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret,
        "pem": app.private_key_pem,
    }
    return Reply(201, {**await app_of(call.world, app.id), **given})


async def register(world: World, fields: Json, owner: str) -> AppRecord:
    """Register an App and its bot user. Raises ApiError 422 for events or names GitHub refuses."""
    if any(str(event).startswith("installation") for event in fields.get("events", [])):
        raise ApiError(422, "Default events unsupported: installation")
    app = world.identity.register_app(fields, owner)
    await world.emulator.insert(
        "apps",
        app_id=app.id,
        slug=app.slug,
        name=app.name,
        private_key="",
        permissions=app.permissions,
        events=app.events,
        webhook_url=None,
        webhook_secret=None,
        description=None,
    )
    (ghost,) = await world.emulator.find("users", login="ghost")
    taken = {key: value for key, value in ghost.items() if key not in {"id", "created_at", "updated_at"}}
    email = f"{app.id}+{app.bot_login}@users.noreply.github.com"
    bot = {"login": app.bot_login, "type": "Bot", "node_id": f"BOT_{app.id}", "name": app.name, "email": email}
    await world.emulator.insert("users", **{**taken, **bot})
    return app


async def announce_installation(world: World, one: Installation, action: str, rows: list[Json]) -> None:
    """Send ``installation`` with the repositories in their short form."""
    payload: dict[str, Any] = {
        "action": action,
        "installation": installation_object(world, one),
        "repositories": [short_repository(row) for row in rows],
        "sender": one.account,
    }
    if action == "created":
        payload["requester"] = None
    world.outbox.publish("installation", payload, installation=one)


async def announce_repositories(world: World, one: Installation, added: list[Json], removed: list[Json]) -> None:
    """Send ``installation_repositories``."""
    payload = {
        "action": "added" if added else "removed",
        "installation": installation_object(world, one),
        "repository_selection": "all" if one.repository_ids is None else "selected",
        "repositories_added": [short_repository(row) for row in added],
        "repositories_removed": [short_repository(row) for row in removed],
        "requester": None,
        "sender": one.account,
    }
    world.outbox.publish("installation_repositories", payload, installation=one)


async def uninstall(world: World, one: Installation) -> None:
    """Remove an installation and kill its tokens."""
    await announce_installation(world, one, "deleted", [])
    for token in world.identity.tokens.values():
        token.revoked = token.revoked or token.installation is one
    del world.identity.installations[one.id]


def short_repository(row: Json) -> Json:
    """Render a repository as installation events do."""
    return {key: row[key] for key in ("id", "node_id", "name", "full_name", "private")}


ROUTES = (
    Route("GET", "/app", get_app),
    Route("GET", "/apps/{app_slug}", get_by_slug),
    Route("GET", "/app/installations", list_installations),
    Route("GET", "/app/installations/{installation_id}", get_installation),
    Route("DELETE", "/app/installations/{installation_id}", delete_installation),
    Route("POST", "/app/installations/{installation_id}/access_tokens", create_token),
    Route("GET", "/repos/{owner}/{repo}/installation", repo_installation),
    Route("GET", "/users/{account}/installation", account_installation),
    Route("GET", "/orgs/{account}/installation", account_installation),
    Route("DELETE", "/installation/token", revoke_token),
    Route("GET", "/installation/repositories", token_repositories),
    Route("POST", "/app-manifests/{code}/conversions", convert_manifest),
)
