"""`optr doctor` as an operator runs it: beside an App that works, and with each thing broken that it claims to find."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.doctor.github import granted, lacking
from bot.github.permissions import APP_PERMISSIONS, EVENTS
from tests.e2e.conftest import MakeService
from tests.e2e.service import ROOT, Service, eventually
from tests.github.server import App, LocalGitHub, unique_name


def examined(service: Service, **changes: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the findings by name; no secret may be told."""
    command = [sys.executable, "-m", "bot.cli", "doctor", "--json"]
    environ = {**service.environ, **changes}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert not [secret for secret in service.secrets() if secret in done.stdout]
    told = json.loads(done.stdout)
    assert told["version"] == 1
    assert told["healthy"] == (done.returncode == 0)
    return done.returncode, {one["name"]: one for one in told["findings"]}


def registered(github: LocalGitHub, service: Service, home: Path, **changes: Any) -> dict[str, str]:
    """The settings of another App, registered with `changes`."""
    fields: dict[str, Any] = {
        "webhook_url": f"{service.url}/webhook",
        "webhook_secret": service.environ["OPTR_WEBHOOK_SECRET"],
        "permissions": APP_PERMISSIONS,
        "events": EVENTS,
    }
    app: App = github.create_app(**{**fields, **changes})
    key = home / "other.pem"
    key.touch(mode=0o600)
    key.write_text(app.private_key_pem, encoding="utf-8")
    return {"OPTR_APP_ID": str(app.id), "OPTR_PRIVATE_KEY_FILE": str(key)}


def test_beside_a_working_app_everything_is_well(make_service: MakeService, sample: dict[str, bytes]) -> None:
    service = make_service()
    service.start()
    place = service.settle(sample)
    place.open_issue()

    def arrived() -> dict[str, Any] | None:
        code, found = examined(service)
        assert code == 0, found
        return found if found["deliveries"]["standing"] == "ok" else None

    found = eventually(arrived, "a delivery arrived")
    service.stop()
    wanted = {"versions", "settings", "state", "disk", "sandbox", "models", "ledger keys", "database"}
    assert set(found) == wanted | {"clock", "app key", "permissions", "installations", "webhook", "deliveries"}
    assert {one["standing"] for name, one in found.items() if name != "ledger keys"} == {"ok"}
    assert found["app key"]["what"].endswith(service.app.bot_login.removesuffix("[bot]"))
    assert f"{service.url}/webhook" in found["webhook"]["what"]

    # the App is down, and GitHub cannot deliver
    place.open_issue()

    def lost() -> bool:
        code, found = examined(service)
        return found["deliveries"]["standing"] == "failed" and code == 4

    eventually(lost, "a delivery was lost")


def test_what_is_wrong_on_github_is_named(
    make_service: MakeService, local_github_process: LocalGitHub, tmp_path: Path
) -> None:
    service = make_service()
    code, found = examined(service, OPTR_APP_ID="999999999")
    assert (code, found["app key"]["standing"]) == (4, "failed")
    assert found["webhook"]["standing"] == "skipped"

    few = {**APP_PERMISSIONS, "checks": "read"}
    other = registered(
        local_github_process,
        service,
        tmp_path,
        permissions=few,
        events=["issues"],
        webhook_url="http://127.0.0.1:9/hook",
    )
    code, found = examined(service, **other)
    assert code == 4
    assert "checks: write" in found["permissions"]["what"]
    assert "issue_comment" in found["permissions"]["what"]
    assert "/webhook" in found["webhook"]["what"]
    assert found["webhook"]["standing"] == "failed"
    assert found["installations"]["what"] == "the App is installed nowhere"


def test_what_is_wrong_here_is_named(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service()
    keyless = {name: "" for name in service.environ if name.endswith("_API_KEY")}
    state = tmp_path / unique_name("state")
    key = state / "ledgers/octo/hello/key"
    key.parent.mkdir(parents=True)
    key.write_text("not a key\n", encoding="utf-8")
    state.chmod(0o755)
    database = "postgresql://optr:a-password-nobody-may-see@127.0.0.1:9/optr"
    wrong = {"OPTR_STATE": str(state), "OPTR_DATABASE_URL": database, "OPTR_GITHUB_API": "http://127.0.0.1:9"}
    code, found = examined(service, **keyless, **wrong)
    assert code == 4
    standings = {name: one["standing"] for name, one in found.items()}
    assert standings["state"] == "warning"
    assert standings["models"] == "warning"
    assert standings["ledger keys"] == standings["database"] == standings["clock"] == standings["app key"] == "failed"
    assert "a-password-nobody-may-see" not in json.dumps(found)
    assert str(key) in found["ledger keys"]["what"]


@pytest.mark.parametrize(
    ("changes", "variable"), [({"OPTR_PORT": "x"}, "OPTR_PORT"), ({"OPTR_STAET": "/"}, "OPTR_STAET")]
)
def test_a_wrong_setting_is_the_first_thing_to_mend(
    make_service: MakeService, changes: dict[str, str], variable: str
) -> None:
    code, found = examined(make_service(), **changes)
    assert code == 2
    assert variable in found["settings"]["what"]
    assert found["settings"]["remedy"]


def test_permissions_are_compared_level_by_level() -> None:
    assert lacking({"contents": "read"}, {"contents": "write"}) == {"contents": "write"}
    assert lacking({"contents": "admin"}, {"contents": "write"}) == {}
    assert lacking({}, {"metadata": "read"}) == {"metadata": "read"}
    assert granted({**APP_PERMISSIONS, "copilot_requests": "write"}, list(EVENTS)).standing == "ok"
    more = granted({**APP_PERMISSIONS, "administration": "write"}, list(EVENTS))
    assert (more.standing, "administration" in more.what) == ("warning", True)
