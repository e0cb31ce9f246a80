"""The gate beyond the plain case: siblings, risk, merge queues, and pull requests that are not ours."""

import pytest

from tests.e2e.service import Place, Service, eventually, racing


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with one quick agent."""
    return service.settle(racing(sample, "regex-order"))


def approve(place: Place, number: int, login: str) -> None:
    place.human(login).post(f"{place.path}/pulls/{number}/reviews", {"event": "APPROVE"}, status=200)


def test_a_second_pull_request_with_the_same_tree_closes_the_gate_until_it_is_closed(place: Place) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    head = pull["head"]["sha"]
    approve(place, pull["number"], "grace")
    place.concluded(head, "optr/gate", "success")

    ada = place.human("ada")
    ada.post(f"{place.path}/git/refs", {"ref": "refs/heads/copy", "sha": head})
    copy = ada.post(f"{place.path}/pulls", {"title": "Mine", "head": "copy", "base": "main", "body": ""})
    gate = place.concluded(head, "optr/gate", "failure")
    assert "sibling_open" in gate["output"]["summary"]
    assert f"#{copy['number']}" in gate["output"]["summary"]
    ada.patch(f"{place.path}/pulls/{copy['number']}", {"state": "closed"})
    place.concluded(head, "optr/gate", "success")


def test_the_repositorys_policy_says_whose_approval_counts(service: Service, sample: dict[str, bytes]) -> None:
    permit = b"permit (principal, action, resource);\n"
    forbid = b'@id("not-grace") forbid (principal == Human::"grace", action == Action::"approve", resource);\n'
    place = service.settle({**racing(sample, "regex-order"), ".github/optr/policy.cedar": permit + forbid})
    issue = place.ask()
    pull = place.opened(issue)
    head = pull["head"]["sha"]
    approve(place, pull["number"], "grace")
    told = "grace may not approve"
    eventually(lambda: any(told in one["output"]["summary"] for one in place.checks(head, "optr/gate")), told)
    approve(place, pull["number"], "hopper")
    gate = place.concluded(head, "optr/gate", "success")
    assert "hopper" in gate["output"]["summary"]
    (line,) = [one for one in place.lake().lines() if one["type"] == "HUMAN_REVIEW_RECORDED"]
    assert (line["actor"], line["head"], line["ownRequest"]) == ("hopper", head, False)


def test_a_revoked_persons_approval_closes_the_gate_until_trust_is_given_back(place: Place) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    head, root = pull["head"]["sha"], place.human("root", "admin")
    approve(place, pull["number"], "grace")
    place.concluded(head, "optr/gate", "success")
    place.say(issue, "/optr revoke human Grace", root)
    told = "grace may not approve, human 'grace' was revoked by 'root'"
    eventually(lambda: any(told in one["output"]["summary"] for one in place.checks(head, "optr/gate")), told)
    assert not [one for one in place.checks(head, "optr/gate") if one["conclusion"] == "success"]
    place.say(issue, "/optr revoke human grace lift", root)
    place.concluded(head, "optr/gate", "success")


def test_a_merge_queue_gets_its_answer_on_its_own_commit(place: Place) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    knob, name = place.service.github.knob, place.repository.full_name
    early = knob("merge-group", repository=name, number=pull["number"], login="grace")
    place.concluded(early["head_sha"], "optr/gate", "action_required")
    approve(place, pull["number"], "grace")
    place.concluded(pull["head"]["sha"], "optr/gate", "success")
    knob("merge-group", repository=name, number=pull["number"], login="grace", **early, destroy=True)
    again = knob("merge-group", repository=name, number=pull["number"], login="grace")
    place.concluded(again["head_sha"], "optr/gate", "success")


def test_people_s_own_pull_requests_pass_where_a_rule_requires_the_gate(place: Place) -> None:
    ada = place.human("ada")
    number = _own_pull(place, "free")
    place.drained()
    assert place.checks(_head(place, number), "optr/gate") == []
    owner = place.human(place.repository.owner, "admin")
    app = place.service.app.id
    required = {"required_status_checks": [{"context": "optr/gate", "integration_id": app}]}
    rule = {"type": "required_status_checks", "parameters": {**required, "strict_required_status_checks_policy": False}}
    owner.post(f"{place.path}/rulesets", {"name": "gate", "enforcement": "active", "target": "branch", "rules": [rule]})
    number = _own_pull(place, "ruled")
    gate = place.concluded(_head(place, number), "optr/gate", "success")
    assert gate["output"]["title"] == "Not a pull request of OPTR"
    pretender = _own_pull(place, "optr/issue-99")
    place.drained()
    assert place.checks(_head(place, pretender), "optr/gate") == []
    assert ada


def _own_pull(place: Place, branch: str) -> int:
    ada = place.human("ada")
    ada.post(f"{place.path}/git/refs", {"ref": f"refs/heads/{branch}", "sha": place.base})
    place.push(branch, "README.md", f"# {branch}\n".encode(), "ada")
    return int(ada.post(f"{place.path}/pulls", {"title": branch, "head": branch, "base": "main"})["number"])


def _head(place: Place, number: int) -> str:
    return str(place.reader.get(f"{place.path}/pulls/{number}")["head"]["sha"])


def test_new_dependencies_take_a_second_person(service: Service, sample: dict[str, bytes]) -> None:
    files = racing(sample, "packager", packager=["sh", "-c", "echo '{}' >package.json"])
    rules = b"version: 1\nagents: [packager]\nchecks: [{id: nothing, run: 'true'}]\n"
    place = service.settle({**files, ".github/optr.yml": rules})
    issue = place.ask()
    word = place.heard(issue, ("waits for a human", "closed:"))["body"]
    assert "waits for a human" in word, word
    pull = place.opened(issue)
    head = pull["head"]["sha"]
    approve(place, pull["number"], "grace")

    def asked() -> bool:
        (gate,) = place.checks(head, "optr/gate")
        return "1 of 2 approvals" in gate["output"]["summary"] and gate["conclusion"] == "action_required"

    eventually(asked, lambda: str(place.checks(head, "optr/gate")))
    (gate,) = place.checks(head, "optr/gate")
    assert "Risk high" in gate["output"]["summary"]
    approve(place, pull["number"], "linus")
    place.concluded(head, "optr/gate", "success")
