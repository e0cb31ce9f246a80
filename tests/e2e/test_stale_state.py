"""A state that is not the one that wrote the ledgers last: `optr serve` refuses it, and says what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bot.exit_codes import ExitCode
from tests.e2e.conftest import MakeService
from tests.e2e.service import ROOT, WAIT_SECONDS_MAX, Place, Service

RULES = {".github/optr.yml": b"version: [\n"}  # a run that cannot be planned writes one line, in a moment
ONE = "RUN_FAILED"


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service()


def write_a_line(place: Place) -> None:
    """Have the App write one line, and stop it."""
    place.service.start()
    place.heard(place.ask(), "closed: **failed**")
    place.service.stop()


def kept(service: Service, name: str) -> Path:
    """A copy of the databases, as a backup taken while the App is stopped."""
    backup = service.home / name
    backup.mkdir()
    for file in (service.home / "state").glob("*.db*"):
        shutil.copy(file, backup)
    return backup


def restored(service: Service, backup: Path | None) -> None:
    """The databases as they were then; none at all when there is no backup."""
    for file in (service.home / "state").glob("*.db*"):
        file.unlink()
    if backup is not None:
        shutil.copytree(backup, service.home / "state", dirs_exist_ok=True)


def refused(service: Service) -> str:
    """What `optr serve` says when it does not start; it must not have taken work."""
    before = service.log.stat().st_size
    service.launch()
    assert service.process is not None
    assert service.process.wait(WAIT_SECONDS_MAX) == ExitCode.USAGE, service.tail()
    said = service.log.read_bytes()[before:].decode()
    assert "error: the state is not the one that wrote these ledgers last; nothing was started" in said
    return said


def adopt(service: Service) -> tuple[int, str]:
    command = [sys.executable, "-m", "bot.cli", "adopt-ledgers"]
    done = subprocess.run(command, cwd=ROOT, env=service.environ, capture_output=True, text=True, check=False)
    assert not [secret for secret in service.secrets() if secret in done.stdout + done.stderr]
    return done.returncode, done.stdout + done.stderr


def test_a_database_older_than_the_branch_is_refused_until_the_operator_adopts(service: Service) -> None:
    service.tolerated.append("the engine could not start")
    place = service.settle(RULES)
    name = place.repository.full_name.lower()
    write_a_line(place)
    backup = kept(service, "monday")
    write_a_line(place)

    for older in (None, backup):
        restored(service, older)
        said = refused(service)
        assert f"{name} (older)" in said
        assert "what to do: Stop every other OPTR" in said
        assert "optr adopt-ledgers" in said
        assert place.lake().types() == [ONE, ONE], "nothing was written"

    assert adopt(service) == (0, f"{name}: taken as it stands, 2 lines where 1 were remembered\n")
    assert adopt(service) == (0, f"{name}: as it was signed last, 3 lines\n"), "again changes nothing"
    write_a_line(place)
    lake = place.lake()
    assert lake.types() == [ONE, ONE, "LEDGER_ADOPTED", ONE]
    taken = lake.lines()[2]
    assert (taken["actor"], taken["adoptedSize"], taken["rememberedSize"]) == ("operator", 2, 1)
    lake.verified()


@pytest.mark.skipif("OPTR_CRASH_ALL" not in os.environ, reason="SKIPPED: `make crash` tries every stale state")
def test_two_histories_under_one_key_and_a_lost_key_are_refused(service: Service) -> None:
    service.tolerated.append("the engine could not start")
    place = service.settle(RULES)
    name = place.repository.full_name.lower()
    write_a_line(place)
    early = kept(service, "early")
    first = place.service.github.git("rev-parse", "HEAD", cwd=place.lake().path)
    write_a_line(place)
    late = kept(service, "late")
    rewind(place, first)
    restored(service, early)
    write_a_line(place)
    restored(service, late)
    assert f"{name} (older)" in refused(service)
    code, told = adopt(service)
    assert code == ExitCode.TAMPERED
    assert f"{name}: not taken" in told

    keys = service.home / "state" / "ledgers"
    keys.rename(service.home / "elsewhere")
    said = refused(service)
    assert f"{name} (no key)" in said
    assert "Restore OPTR_STATE of the same moment" in said


def test_a_branch_that_somebody_rolled_back_stops_its_own_runs_and_nobody_elses(service: Service) -> None:
    place, neighbour = service.settle(RULES), service.settle(RULES)
    write_a_line(place)
    first = place.service.github.git("rev-parse", "HEAD", cwd=place.lake().path)
    write_a_line(place)
    rewind(place, first)
    service.tolerated += ["a ledger's branch is not what was signed", "is not on the ledger yet"]
    service.start()
    assert "its runs end with LEDGER_REFUSED until the branch is what it was" in service.log.read_text()
    place.heard(place.ask(), "closed: **failed**")
    assert place.lake().types() == [ONE]
    neighbour.heard(neighbour.ask(), "closed: **failed**")
    assert neighbour.lake().types() == [ONE]
    service.stop()


def rewind(place: Place, commit: str) -> None:
    """Force-push the ledger's branch back, as somebody with write permission can."""
    clone = place.clone("datalake", "ada")
    token = place._token("ada")
    place.service.github.git("push", "--quiet", "--force", "origin", f"{commit}:datalake", cwd=clone, token=token)
