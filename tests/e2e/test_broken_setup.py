"""What is in the way is said in the open, so that whoever reads can mend it."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.service import Service

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
BROKEN_RULES = b"version: 1\nagents: [codex]\nscoring:\n  profil: balanced\n"
BROKEN_PROFILE = b"---\nname: helper\ntype: command\n---\nIt has no command.\n"


@pytest.fixture(scope="module")
def service(make_service: MakeService) -> Iterator[Service]:
    """An App whose operator gave it no model's key."""
    made = make_service(without=KEYS)
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("path", "content", "place_named"),
    [
        (".github/optr.yml", BROKEN_RULES, ".github/optr.yml:4:"),
        (".github/optr.yml", b"version: [\n", ".github/optr.yml:"),
        (".github/agents/helper.agent.md", BROKEN_PROFILE, ".github/agents/helper.agent.md:"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    service: Service, sample: dict[str, bytes], path: str, content: bytes, place_named: str
) -> None:
    place = service.settle({**sample, path: content})
    issue = place.ask()
    said = place.heard(issue, "closed: **failed**")["body"].replace("\u200b", "")
    assert place_named in said
    check = place.concluded(place.base, "optr", "failure")
    assert place_named in check["output"]["summary"].replace("\u200b", "")
    assert len(place.ours(issue)) == 1
    assert place.pulls() == []
    lake = place.lake()
    (line,) = lake.lines()
    assert (line["type"], line["outcome"], line["code"]) == ("RUN_FAILED", "failed", "CONFIG_INVALID")
    assert place_named in line["problem"]
    assert line["baseCommit"] == place.base
    lake.verified()


def test_an_empty_repository_is_told_so_and_gets_no_branch_of_ours(service: Service) -> None:
    place = service.settle({})
    issue = place.ask()
    said = place.heard(issue, "closed: **failed**")["body"]
    assert "has no commit; push one" in said.replace("\u200b", "").replace("\\", "")
    assert "of this run stands on a ledger" in said
    assert len(place.ours(issue)) == 1
    assert place.branches() == set(), "the first branch that is pushed becomes the default branch: not ours to choose"


def test_without_any_key_the_comment_names_the_variables(service: Service, sample: dict[str, bytes]) -> None:
    files = {path: data for path, data in sample.items() if not path.startswith(".github/")}
    place = service.settle(files)
    issue = place.ask()
    said = place.heard(issue, "closed: **failed**")["body"].replace("\\", "")
    assert all(key in said for key in KEYS)
    place.concluded(place.base, "optr", "failure")


def test_with_one_key_missing_the_others_race_and_a_note_says_who_sat_out(
    service: Service, sample: dict[str, bytes]
) -> None:
    place = service.settle(sample)
    issue = place.ask()
    place.opened(issue)
    said = place.our_comment(issue, "**Note:**")["body"].replace("\\", "")
    assert all(key in said for key in KEYS)


def test_an_unknown_agent_asked_for_by_name_is_refused_with_the_known_ones(
    service: Service, sample: dict[str, bytes]
) -> None:
    place = service.settle(sample)
    issue = place.open_issue()
    place.say(issue, "/optr run agents=nobody")
    said = place.heard(issue, "no agent is called")["body"]
    assert "snapshot" in said
