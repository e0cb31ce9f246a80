"""What people ask about a run in comments, and the buttons that ask the same."""

from typing import Any

from tests.e2e.service import Place, Service, eventually, racing


def press(place: Place, check: dict[str, Any], identifier: str, login: str) -> None:
    knob = place.service.github.knob
    given = {"check_run_id": check["id"], "identifier": identifier, "login": login}
    knob("press-button", repository=place.repository.full_name, **given)


def test_plan_explain_compare_verify_and_the_buttons(service: Service, sample: dict[str, bytes]) -> None:
    place = service.settle(racing(sample, "regex-order", "idle", idle=["true"]))
    issue = place.ask()
    place.opened(issue)

    place.say(issue, "/optr plan", place.reader)
    place.heard_all(issue, "Plan of run", "| regex-order | competes |", "at most $")
    place.say(issue, "/optr explain", place.reader)
    place.heard_all(issue, "**regex-order**", "why it won")
    place.say(issue, "/optr explain idle")
    place.heard_all(issue, "**idle**", "PATCH_EMPTY")
    place.say(issue, "/optr explain nobody")
    place.heard(issue, "No such agent took part")
    place.say(issue, "/optr compare idle regex-order")
    place.heard_all(issue, "| idle | regex-order |", "| checks passed |")
    place.say(issue, "/optr verify")
    place.heard_all(issue, "✓ The ledger verifies", "has the tree")

    # buttons: by their run, their state, and who presses them
    (check,) = place.checks(place.base, "optr")
    explain, verify, cancel, rerun = (
        f"{verb}:{check['external_id'][:12]}" for verb in ("explain", "verify", "cancel", "rerun")
    )
    before = len(place.ours(issue))
    press(place, check, explain, "reader")
    press(place, check, cancel, "reader")
    place.heard(issue, "takes write permission")
    press(place, check, verify, "ada")
    eventually(lambda: len(place.ours(issue)) == before + 3, lambda: str(place.ours(issue)))
    press(place, check, cancel, "ada")
    place.heard(issue, "closed: **cancelled**")
    place.drained()
    (check,) = place.checks(place.base, "optr")
    press(place, check, rerun, "ada")
    place.heard_all(issue, f"issue-{issue}.2", "waits for a human")
    service.github.knob("webhooks/drain")
    place.say(issue, "/optr explain")
    place.heard_all(issue, "**regex-order**", "why it won")
