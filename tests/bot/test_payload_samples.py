"""The payloads that handler tests start from are what GitHub sends: its own schema says so."""

import json
from pathlib import Path

import pytest

from tests.github.judge import shared_judge

SAMPLES = sorted((Path(__file__).parent / "payloads").glob("*.json"))


def test_there_are_samples_of_every_event_we_handle() -> None:
    events = {path.name.split(".")[0] for path in SAMPLES}
    assert events == {"check_run", "issue_comment", "issues", "pull_request", "pull_request_review"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_fits_githubs_schema(path: Path) -> None:
    event = path.name.split(".")[0]
    assert shared_judge().webhook_problems(event, json.loads(path.read_text(encoding="utf-8"))) == []
