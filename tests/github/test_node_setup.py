from pathlib import Path

import pytest

from tests.github import fixtures, server
from tools import node_setup


def test_npm_failures_say_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(node_setup.NodeMissingError, match="is the npm registry reachable"):
        node_setup.run_npm(["ci", "--offline"], tmp_path)


@pytest.mark.parametrize("project", [node_setup.NODE_PROJECT, node_setup.PROBOT_PROJECT])
def test_the_lock_names_no_registry(project: Path) -> None:
    locked = (project / "package-lock.json").read_text()
    assert '"resolved"' not in locked
    for known in ("https://github.com", "https://opencollective.com"):  # who asks for funding
        locked = locked.replace(known, "")
    assert "://" not in locked


def test_a_changed_lock_is_installed_again(tmp_path: Path) -> None:
    project = tmp_path / "node"
    (project / "node_modules").mkdir(parents=True)
    (project / "package-lock.json").write_text("one")
    assert not node_setup.is_ready(project)
    (project / node_setup.STAMP).write_text(node_setup.lock_digest(project))
    assert node_setup.is_ready(project)
    (project / "package-lock.json").write_text("two")
    assert not node_setup.is_ready(project)


def test_missing_parts_skip_with_a_reason_and_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "is_ready", lambda: False)
    reason = server.missing_parts()
    assert reason is not None
    with pytest.raises(pytest.skip.Exception, match=r"SKIPPED local GitHub: .* run python -m tools\.node_setup"):
        fixtures.refuse(reason, {})
    with pytest.raises(pytest.fail.Exception, match="the Node parts are not installed"):
        fixtures.refuse(reason, {"CI": "true"})
