"""GitHub's side: the App's key, the clock, what was granted, and whether deliveries arrive."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from bot.doctor.finding import Finding, failed, ok, skipped, warning
from bot.github.client import GitHubClient
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.permissions import APP_PERMISSIONS, EVENTS

SKEW_SECONDS_MAX = 30  # a token is dated back 60 s and GitHub refuses one from the future
ANSWER_SECONDS_MAX = 10
DELIVERIES_READ = 30
INSTALLATIONS_MAX = 1_000
HOOK_PATH = "/webhook"
_RANK = {"read": 1, "write": 2, "admin": 3}
_REMEDY_PERMISSIONS = "Grant them on the App's settings page, as app.yml says; each installation must then accept"


async def clock(session: aiohttp.ClientSession, api_url: str, now: Callable[[], float]) -> Finding:
    """Compare this machine's clock with GitHub's, from an answer's Date header (RFC 9110 section 6.6.1)."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        async with session.get(api_url, timeout=timeout, allow_redirects=False) as answer:
            told = parsedate_to_datetime(answer.headers["Date"])
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
        return failed("clock", f"{api_url} does not answer: {type(error).__name__}", "Check the way to OPTR_GITHUB_API")
    skew = round(now() - told.timestamp())
    if abs(skew) > SKEW_SECONDS_MAX:
        what = f"this machine is {abs(skew)} s {'ahead of' if skew > 0 else 'behind'} GitHub"
        return failed("clock", what, "Synchronise the clock (NTP): GitHub refuses tokens that are dated wrong")
    return ok("clock", f"within {max(abs(skew), 1)} s of GitHub's")


async def examine(app: GitHubClient) -> AsyncIterator[Finding]:
    """Everything that the App's own key can ask."""
    try:
        told = await app.getitem("/app")
    except GitHubError as error:
        yield _key(error)
        yield skipped("permissions", "GitHub does not know us yet")
        yield skipped("webhook", "GitHub does not know us yet")
        return
    yield ok("app key", f"GitHub knows us as {told['slug']}")
    yield granted(told["permissions"], told["events"])
    yield await _guarded("installations", _installations, app)
    yield await _guarded("webhook", _webhook, app)
    yield await _guarded("deliveries", _deliveries, app)


def _key(error: GitHubError) -> Finding:
    if error.code is GitHubErrorCode.UNAUTHORISED:
        remedy = "Compare OPTR_APP_ID and OPTR_PRIVATE_KEY_FILE with the App's settings page, and the clock with NTP"
        return failed("app key", "GitHub refuses the App's key", remedy)
    return failed("app key", str(error), "Check OPTR_GITHUB_API and the way to it")


async def _guarded(name: str, look: Callable[[GitHubClient], Any], app: GitHubClient) -> Finding:
    try:
        found: Finding = await look(app)
    except (GitHubError, KeyError, TypeError, ValueError) as error:
        return failed(name, f"GitHub did not say: {error}", "Try again; see https://www.githubstatus.com")
    return found


def lacking(permissions: Mapping[str, str], wanted: Mapping[str, str] = APP_PERMISSIONS) -> dict[str, str]:
    """What of `wanted` is not granted."""
    return {
        name: level for name, level in wanted.items() if _RANK.get(permissions.get(name, ""), 0) < _RANK.get(level, 0)
    }


def granted(permissions: Mapping[str, str], events: list[str]) -> Finding:
    """Compare what the App may do with what its code does (app.yml)."""
    missing = [f"{name}: {level}" for name, level in lacking(permissions).items()]
    deaf = sorted(set(EVENTS) - set(events))
    if missing or deaf:
        parts = [f"permissions {', '.join(missing)}"] * bool(missing) + [f"events {', '.join(deaf)}"] * bool(deaf)
        return failed("permissions", f"the App lacks {' and '.join(parts)}", _REMEDY_PERMISSIONS)
    more = sorted(name for name in permissions if name not in APP_PERMISSIONS and name != "copilot_requests")
    if more:
        return warning("permissions", f"the App may more than it needs: {', '.join(more)}", "Take them away again")
    return ok("permissions", "as app.yml says")


async def _installations(app: GitHubClient) -> Finding:
    count, behind, asleep = 0, [], []
    async for one in app.getiter("/app/installations"):
        count += 1
        login = str(one["account"]["login"])
        if one["suspended_at"] is not None:
            asleep.append(login)
        elif lacking(one["permissions"]):
            behind.append(login)
        if count >= INSTALLATIONS_MAX:
            break
    if behind:
        what = f"not every permission is accepted at {', '.join(behind)}"
        return warning("installations", what, "Their owners accept it on the installation's page")
    if asleep:
        return warning("installations", f"suspended at {', '.join(asleep)}", "Their owners can resume it")
    if not count:
        return warning("installations", "the App is installed nowhere", "Install it on a repository")
    return ok("installations", f"{count}, with every permission accepted")


async def _webhook(app: GitHubClient) -> Finding:
    config = await app.getitem("/app/hook/config")
    url, remedy = str(config.get("url", "")), "Mend it on the App's settings page"
    if not url:
        return failed("webhook", "the App has no webhook", remedy)
    wrong = []
    if not url.endswith(HOOK_PATH):
        wrong.append(f"its address {url} does not end in {HOOK_PATH}")
    if config.get("content_type") != "json":
        wrong.append("its content type is not application/json")
    if str(config.get("insecure_ssl")) != "0":
        wrong.append("it does not verify the server's certificate")
    if not config.get("secret"):
        wrong.append("it has no secret")
    return failed("webhook", "; ".join(wrong), remedy) if wrong else ok("webhook", f"GitHub delivers to {url}")


async def _deliveries(app: GitHubClient) -> Finding:
    """Whether the webhook can be reached, by what became of the newest deliveries."""
    told = await app.getitem("/app/hook/deliveries{?per_page}", {"per_page": str(DELIVERIES_READ)})
    if not told:
        return warning("deliveries", "GitHub has not delivered anything yet", "Open an issue, or redeliver the ping")
    lost = [one for one in told if not 200 <= int(one["status_code"] or 0) < 300]  # noqa: PLR2004 - HTTP's success
    newest = told[0]
    when = dt.datetime.fromisoformat(str(newest["delivered_at"])).astimezone(dt.UTC).isoformat(timespec="seconds")
    if newest in lost:
        what = f"the newest one, of {when}, was answered {newest['status_code'] or 'not at all'} ({newest['status']})"
        return failed("deliveries", what, "Start `optr serve` where the webhook's address leads, with its secret")
    if lost:
        what = f"{len(lost)} of the newest {len(told)} were lost; the newest, of {when}, arrived"
        return warning("deliveries", what, "Nothing: OPTR asks for lost deliveries again while it runs")
    return ok("deliveries", f"the newest {len(told)} arrived, the last of {when}")
