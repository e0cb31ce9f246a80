"""When no candidate is admissible, nothing is published and everything is recorded."""

import json

from tests.e2e.copies import SIZE_AND_ROOT
from tests.e2e.service import Place, Service, racing

SENTENCE = "No admissible results from any agent"


def test_no_admissible_candidate_means_no_pull_request_and_a_full_record(
    service: Service, sample: dict[str, bytes]
) -> None:
    # One breaks what the tests demand, one ends with an error, one changes nothing.
    commands = {"breaker": ["sh", "-c", "echo broken >duration/parse.py"], "failing": ["false"], "idle": ["true"]}
    place: Place = service.settle(racing(sample, *commands, **commands))
    issue = place.ask()
    final = place.heard(issue, SENTENCE)
    place.heard(issue, "closed: **no winner**")
    check = place.concluded(place.base, "optr", "failure")
    assert SENTENCE in check["output"]["summary"]
    assert SIZE_AND_ROOT.search(check["output"]["text"])
    assert SIZE_AND_ROOT.search(place.heard(issue, "closed: **no winner**")["body"])
    assert all(name in check["output"]["text"] for name in commands), "each loser's reason"
    assert [comment["id"] for comment in place.ours(issue)] == [final["id"]]
    assert place.pulls() == []
    assert place.branches() == {"main", "datalake"}

    lake = place.lake()
    lake.verified()
    assert lake.types() == ["MAEG_CREATED", "OPTR_NO_WINNER"]
    kept = lake.workflow(f"issue-{issue}")
    assert json.loads((kept / "optr-selection.json").read_text())["winner"] is None
    outputs = {path.stem: json.loads(path.read_text()) for path in (kept / "agent-outputs").iterdir()}
    assert set(outputs) == set(commands)
    assert all(not output["admissible"] and output["violations"] for output in outputs.values())
    assert (kept / "patches/breaker.patch").read_bytes()

    # the label again is a new run, under a name of its own
    place.label(issue)
    place.heard(issue, f"issue-{issue}.2")
