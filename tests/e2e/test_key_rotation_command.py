"""The key of a ledger changes hands between two steps of a run that waits: it goes on, and readers follow."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from bot.exit_codes import ExitCode
from ledger.checkpoint import verify_checkpoint
from ledger.note import parse_vkey, verify_note
from ledger.rotation import rotation_path
from tests.e2e.cli_kit import Bench
from tests.e2e.conftest import MakeService
from tests.e2e.service import ROOT, Service


def test_a_run_that_waits_survives_a_rotation_and_readers_follow_it(waiting: Bench) -> None:
    (first,) = json.loads(waiting.optr("ledger", "keys", "--json").out)["keys"]
    revoked = waiting.optr("trust", "revoke", "human", "mallory")
    assert revoked.code == 0, revoked.err
    turned = waiting.optr("ledger", "rotate-key", "--compromised", "--json")
    assert turned.code == 0, turned.err
    told = json.loads(turned.out)
    assert (told["old"], told["done"]) == (first["key"], True)
    later = waiting.optr("trust", "revoke", "human", "mallet")
    assert later.code == 0, later.err

    ran = waiting.optr("correct", "fix", "S1", "--reason", "use a plus")
    assert "(told, attempt 2)" in ran.out, ran.err

    for vkey in (told["old"], told["new"]):
        assert waiting.optr("verify-ledger", "--repo", ".", "--key", vkey).code == 0
        checked = waiting.optr("trust", "verify", "--key", vkey)
        assert checked.code == 0, checked.err
    listed = waiting.optr("ledger", "keys", "--key", told["old"])
    old, new = listed.out.splitlines()
    assert old.startswith(told["old"])
    assert new.startswith(told["new"])
    assert new.endswith("lines on")
    kinds = [json.loads(line)["type"] for line in waiting.git("show", "datalake:datalake/ledger.jsonl").splitlines()]
    assert kinds.count("KEY_ROTATED") == 1


def test_wrong_input_says_what_to_do(waiting: Bench, tmp_path: Path) -> None:
    stranger = "optr/x/y+0000+AQ=="
    assert waiting.optr("ledger", "keys", "--key", stranger).code == 2
    gone = waiting.optr("ledger", "rotate-key", "--app", "octocat/hello")
    assert (gone.code, "there is no key of a ledger of octocat/hello" in gone.err) == (2, True)
    odd = waiting.optr("ledger", "rotate-key", "--app", "../../etc")
    assert (odd.code, "owner/name" in odd.err) == (2, True), odd.err
    elsewhere = waiting.optr("ledger", "rotate-key", "--repo", str(tmp_path / "nowhere"))
    assert elsewhere.code == 2, elsewhere.err


RULES = {".github/optr.yml": b"version: [\n"}  # a run that cannot be planned writes one line, in a moment


def optr(service: Service, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bot.cli", *args]
    return subprocess.run(command, cwd=ROOT, env=service.environ, capture_output=True, text=True, check=False)


def test_the_running_app_pushes_with_the_new_key_and_tells_both(make_service: MakeService) -> None:
    service = make_service()
    service.start()
    place = service.settle(RULES)
    name = place.repository.full_name
    place.heard(place.ask(), "closed: **failed**")
    (file,) = (place.lake().path / "datalake/keys").iterdir()
    old = parse_vkey(file.read_text().strip())
    turned = optr(service, "ledger", "rotate-key", "--app", name, "--json")
    assert turned.returncode == ExitCode.OK, turned.stderr
    told = json.loads(turned.stdout)
    assert (told["old"], told["done"]) == (str(old), False)
    new = parse_vkey(told["new"])
    place.heard(place.ask(), "closed: **failed**")
    service.stop()
    service.start()  # and the next process goes on with the new key
    place.heard(place.ask(), "closed: **failed**")

    lake = place.lake()
    assert [kind == "KEY_ROTATED" for kind in lake.types()] == [False, True, False, False]
    root = lake.path / "datalake"
    for signer in (old, new):
        verify_note((root / rotation_path(new.key_id)).read_bytes(), [signer])
    assert verify_checkpoint((root / "checkpoint").read_bytes(), [new]).size == 4
    for vkey in (old, new):
        checked = optr(service, "verify-ledger", "--repo", str(lake.path), "--key", str(vkey))
        assert checked.returncode == ExitCode.OK, checked.stdout + checked.stderr
    with urllib.request.urlopen(f"{service.url}/ledger/keys?repository={name}", timeout=10) as answer:
        keys = json.load(answer)["keys"]
    assert [(one["key"], one["first"], one["last"]) for one in keys] == [(str(old), 0, 1), (str(new), 2, None)]
    service.stop()
