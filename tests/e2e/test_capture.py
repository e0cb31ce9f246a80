"""What a run's record keeps of people's, agents' and tools' words, by capture policy, seen from a clone."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_kit import CONFIG, Bench, make_bench

WORDS = "zebrawords"  # stands in everything that this run's people and tools say
LIVE = "live-secret-value-0123456789"
SHAPED = "ghp_" + "A1b2C3d4E5f6G7h8I9j0"
MENDER = f"echo {WORDS} {SHAPED} ${{NOTHING:-}} && sed -i s/-/+/ calc.py && echo '# {WORDS}' >> calc.py"
CHECK = f"    run: python3 -m unittest -q; code=$?; echo {WORDS}; exit $code\n"


def bench_with(root: Path, capture: str) -> Bench:
    config = CONFIG.replace("    run: python3 -m unittest -q\n", CHECK) + f"record: {{capture: {capture}}}\n"
    assert WORDS in config
    bench = make_bench(root, {".github/optr.yml": config})
    bench.agent("mender", MENDER)
    return bench


def execute(bench: Bench, **environ: str) -> None:
    intent = f"Mend add {WORDS} {LIVE}"
    ran = bench.optr("execute", "--workflow", "fix", "--intent", intent, OPENAI_API_KEY=LIVE, **environ)
    assert ran.code == 0, ran.err


def everything(bench: Bench) -> bytes:
    """Every object that the branch reaches, and every message."""
    listed = bench.git("rev-list", "--objects", "refs/heads/datalake").splitlines()
    names = "".join(f"{line.split()[0]}\n" for line in listed)
    done = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=bench.repo, input=names.encode(), capture_output=True, check=True
    )
    return done.stdout


def planned(bench: Bench) -> dict[str, Any]:
    shown = bench.optr("ledger", "show", "--type", "MAEG_CREATED", "--json")
    (entry,) = json.loads(shown.out)["entries"]
    return dict(entry)


def without_base(bench: Bench) -> list[str]:
    """Files of the record that hold the words; `plan.json` tells the base's checks, which are nobody's here."""
    found = bench.git("grep", "-l", WORDS, "refs/heads/datalake", "--").splitlines()
    return [name.rpartition("/")[2] for name in found]


@pytest.fixture(scope="module")
def sparing(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = bench_with(tmp_path_factory.mktemp("sparing"), "digest")
    execute(bench, OPTR_CAPTURE="full")
    return bench


def test_under_digest_no_word_of_a_person_an_agent_or_a_tool_stands_on_the_branch(sparing: Bench) -> None:
    assert planned(sparing)["capture"] == "digest"
    assert without_base(sparing) == ["plan.json"]
    plan = json.loads(sparing.recorded("fix/plan.json"))
    assert WORDS not in json.dumps({name: value for name, value in plan.items() if name != "checks"})
    assert LIVE.encode() not in everything(sparing)
    kept = plan["intent"]["title"]["notKept"]
    told = f"Mend add {WORDS} [redacted]"
    assert kept == {"bytes": len(told), "sha256": hashlib.sha256(told.encode()).hexdigest()}


def test_under_digest_the_measurements_stand_and_the_patch_is_named_by_its_digest(sparing: Bench) -> None:
    output = json.loads(sparing.recorded("fix/agent-outputs/mender.json"))
    assert output["patch"]["notKept"]["sha256"] == output["hash"]
    assert output["admissible"] is True
    assert [check["outcome"] for check in output["checks"]] == ["passed"] * len(output["checks"])
    step = output["output"]["trajectory"][0]
    assert step["exit_code"] == 0
    assert set(step["output"]) == {"notKept"}
    assert "patches" not in sparing.git("ls-tree", "-r", "--name-only", "refs/heads/datalake")


def test_under_digest_the_ledger_verifies_and_replay_and_show_say_what_is_missing(sparing: Bench) -> None:
    assert sparing.optr("verify-ledger").code == 0
    replayed = sparing.optr("ledger", "replay", "fix")
    assert replayed.code == 0
    assert "As stored" in replayed.out
    assert "Not in the record" in replayed.out
    assert "fix/agent-outputs/mender.json" in replayed.out
    listed = json.loads(sparing.optr("ledger", "replay", "fix", "--json").out)["notKept"]
    assert {"fix/plan.json intent.title", "fix/agent-outputs/mender.json patch"} <= {one["place"] for one in listed}
    assert "Texts kept as digests only: fix" in sparing.optr("ledger", "show").out
    one = sparing.optr("ledger", "show", str(planned(sparing)["seq"]))
    assert "fix/plan.json: 1 text" in one.out
    assert sparing.optr("ledger", "export", "fix", "--out", str(sparing.state / "bundle.tar")).code == 0


def test_full_keeps_what_looks_like_a_secret_and_never_a_live_one(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "full")
    execute(bench, OPTR_CAPTURE="full")
    assert planned(bench)["capture"] == "full"
    assert SHAPED in bench.recorded("fix/agent-outputs/mender.json")
    assert LIVE.encode() not in everything(bench)
    assert "Not in the record" not in bench.optr("ledger", "replay", "fix").out


def test_a_repository_keeps_no_more_than_the_operator_allows_and_the_run_says_so(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "full")
    ran = bench.optr("execute", "--workflow", "fix", "--intent", f"Mend {WORDS}", "--verbose")
    assert ran.code == 0, ran.err
    assert planned(bench)["capture"] == "redacted"
    output = bench.recorded("fix/agent-outputs/mender.json")
    assert WORDS in output
    assert SHAPED not in output
    assert "keeps `redacted` and not `full`" in ran.out + ran.err


def test_a_capture_policy_that_does_not_exist_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "digets")
    refused = bench.optr("execute", "--workflow", "fix", "--intent", "Mend add")
    assert refused.code != 0
    assert "record.capture" in refused.err
    assert "datalake" not in bench.branches()
    wrong = bench.optr("execute", "--workflow", "fix", "--intent", "Mend add", OPTR_CAPTURE="most")
    assert wrong.code != 0
    assert "OPTR_CAPTURE" in wrong.err
