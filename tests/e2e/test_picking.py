"""A person picks another candidate than the selection did."""

from tests.e2e.service import Place, Service, racing

OTHER = ["sh", "-c", "python3 bots/regex_order.py duration && echo 'A word more.' >>README.md"]


def test_an_override_is_recorded_with_who_and_why_and_takes_the_winner_s_place(
    service: Service, sample: dict[str, bytes]
) -> None:
    place: Place = service.settle(racing(sample, "regex-order", "wordy", "idle", wordy=OTHER, idle=["true"]))
    issue = place.ask()
    first = place.opened(issue)
    loser = "wordy" if "regex-order selected" in place.heard(issue, " selected")["body"] else "regex-order"
    place.say(issue, f"/optr pick {loser}")
    place.heard(issue, "Say why")
    place.say(issue, "/optr pick idle\n\nI like it")
    place.heard(issue, "inadmissible; nobody can pick it")
    place.say(issue, f"/optr pick {loser}\n\nIt reads better.")
    place.heard_all(issue, f"{loser} is in the winner's place")
    (second,) = [pull for pull in place.pulls() if pull["head"]["ref"] == f"optr/issue-{issue}-{loser}"]
    assert place.reader.get(f"{place.path}/pulls/{first['number']}")["state"] == "closed"
    head = second["head"]["sha"]
    reviews = f"{place.path}/pulls/{second['number']}/reviews"
    place.human("grace").post(reviews, {"event": "APPROVE"}, status=200)
    place.concluded(head, "optr/gate", "success")
    place.human("grace").put(f"{place.path}/pulls/{second['number']}/merge", {"sha": head})
    place.heard(issue, "closed: **accepted**")
    lake = place.lake()
    lake.verified()
    assert lake.types() == [
        "MAEG_CREATED",
        "OPTR_SELECTED",
        "PR_OPENED",
        "OPTR_PICKED",
        "HUMAN_REVIEW_RECORDED",
        "WRAP_ORCH_ACCEPTED",
    ]
    override = lake.lines()[3]
    assert (override["actor"], override["pickedOptr"], override["why"]) == ("ada", loser, "It reads better.")
    assert lake.lines()[-1]["pickedOptr"] == loser
