"""The App's own webhook: its configuration, its deliveries, and their redelivery."""

from tests.github.app_endpoints import app_of_jwt
from tests.github.identity import AppRecord
from tests.github.outbox import Delivery, delivery_object
from tests.github.wire import Call, Json, Reply, Route, not_found


async def list_deliveries(call: Call) -> Reply:
    """GET /app/hook/deliveries, newest first, paged by cursor."""
    app = app_of_jwt(call)
    found = call.world.outbox.recent(app.id)
    if "status" in call.query:
        wanted = call.query["status"] == "success"
        found = [one for one in found if (one.status == "OK") == wanted]
    cursor = call.query.get("cursor")
    if cursor is not None:
        found = [one for one in found if one.id <= int(cursor.removeprefix("v1_"))]
    size = min(int(call.query.get("per_page", 30)), 100)
    headers: dict[str, str] = {}
    if len(found) > size:
        url = f"{call.world.url}{call.path}?per_page={size}&cursor=v1_{found[size].id}"
        headers["Link"] = f'<{url}>; rel="next"'
    return Reply(200, [delivery_object(one, full=False) for one in found[:size]], headers)


def _delivery(call: Call) -> Delivery:
    app, wanted = app_of_jwt(call), call.number("delivery_id")
    for one in call.world.outbox.recent(app.id):
        if one.id == wanted:
            return one
    raise not_found()


async def get_delivery(call: Call) -> Reply:
    """GET /app/hook/deliveries/{delivery_id}."""
    return Reply(200, delivery_object(_delivery(call), full=True))


async def redeliver(call: Call) -> Reply:
    """POST /app/hook/deliveries/{delivery_id}/attempts: the same GUID again."""
    call.world.outbox.redeliver(_delivery(call))
    return Reply(202, {})


async def get_hook(call: Call) -> Reply:
    """GET /app/hook/config."""
    return Reply(200, _hook_config(app_of_jwt(call)))


async def set_hook(call: Call) -> Reply:
    """PATCH /app/hook/config."""
    app, body = app_of_jwt(call), call.json()
    app.webhook_url = body.get("url", app.webhook_url)
    app.webhook_secret = body.get("secret", app.webhook_secret)
    return Reply(200, _hook_config(app))


def _hook_config(app: AppRecord) -> Json:
    return {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": app.webhook_url or ""}


ROUTES = (
    Route("GET", "/app/hook/config", get_hook),
    Route("PATCH", "/app/hook/config", set_hook),
    Route("GET", "/app/hook/deliveries", list_deliveries),
    Route("GET", "/app/hook/deliveries/{delivery_id}", get_delivery),
    Route("POST", "/app/hook/deliveries/{delivery_id}/attempts", redeliver),
)
