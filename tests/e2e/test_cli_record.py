"""`optr ledger` and `optr report` on a real run: shown, proven, handed over, replayed; its attestation elsewhere."""

import copy
import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from governance.events import chain, read
from governance.replaying import Stored, reconstruct
from ledger.entry import COMMON, Draft
from ledger.extract import extract
from ledger.keys import Signer
from ledger.note import parse_vkey
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from ledger.verify import verify_branch
from tests.e2e.cli_kit import ROOT, Bench, make_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A repository with one run on its ledger. Read only."""
    made = make_bench(tmp_path_factory.mktemp("record"))
    ran = made.execute("one", "--agents", "mender,breaker")
    assert ran.code == 0, ran.err
    return made


def _file(bench: Bench, path: str) -> bytes:
    return bench.git("show", f"refs/heads/datalake:datalake/{path}").encode()


def _vkey(bench: Bench) -> str:
    name = bench.git("ls-tree", "--name-only", "refs/heads/datalake", "datalake/keys/").split()[0]
    return bench.git("show", f"refs/heads/datalake:{name}").strip()


def _lines(bench: Bench) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _file(bench, "ledger.jsonl").splitlines()]


def test_entries_are_listed_filtered_and_shown_in_full(bench: Bench) -> None:
    planned, decided = _lines(bench)
    everything = bench.optr("ledger", "show")
    assert [line.split()[2] for line in everything.out.splitlines()] == ["MAEG_CREATED", "OPTR_SELECTED"]
    for options in (["--type", "OPTR_SELECTED"], ["1"], [decided["id"]]):
        ran = bench.optr("ledger", "show", "--json", *options)
        assert json.loads(ran.out)["entries"] == [decided], ran.err
    assert json.loads(bench.optr("ledger", "show", "--run", planned["run"], "--json").out)["entries"] == [
        planned,
        decided,
    ]
    assert json.loads(bench.optr("ledger", "show", "--since", "2090-01-01", "--json").out)["entries"] == []
    assert bench.optr("ledger", "show", "--since", "soon").code == 2
    missing = bench.optr("ledger", "show", "7")
    assert (missing.code, "there is no entry 7" in missing.err) == (2, True)


def test_a_receipt_is_written_and_checked_offline(bench: Bench, tmp_path: Path) -> None:
    ran = bench.optr("ledger", "prove", "1", "--out", str(tmp_path))
    assert ran.code == 0, ran.err
    receipt = tmp_path / "entry-1.tlog-proof"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    check = ("ledger", "prove", "--check", str(receipt), "--key", _vkey(bench))
    assert bench.optr(*check, cwd=elsewhere).code == 0
    assert bench.optr(*check[:-2], cwd=elsewhere).code == 2
    line = receipt.with_suffix(".json")
    line.write_bytes(line.read_bytes().replace(b"mender", b"bender"))
    ran = bench.optr(*check, cwd=elsewhere)
    assert (ran.code, "not proven" in ran.err) == (20, True)
    assert bench.optr("ledger", "prove", "1", "--out", str(tmp_path)).code == 2  # nothing is overwritten


def test_a_bundle_is_the_same_twice_and_is_checked_by_others_and_by_us(bench: Bench, tmp_path: Path) -> None:
    names = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for name in names:
        ran = bench.optr("ledger", "export", "one", "--out", str(name))
        assert ran.code == 0, ran.err
    data = names[0].read_bytes()
    assert data == names[1].read_bytes()
    with tarfile.open(names[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    inside = tmp_path / "optr-audit"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "hashes.sha256"], cwd=inside, check=True)
    listed = {line.split("  ", 1)[1] for line in (inside / "hashes.sha256").read_text().splitlines()}
    there = {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()}
    assert there == listed | {"hashes.sha256"}
    assert {"checkpoint", "lines.jsonl", "receipts/0.tlog-proof", "workflows/one/attestation.json"} < there
    check = ("ledger", "export", "--key", _vkey(bench), "--check")
    assert bench.optr(*check, str(names[0]), cwd=tmp_path).code == 0
    other = data.replace(b'"selectedOptr":"mender"', b'"selectedOptr":"bender"')
    names[1].write_bytes(other)
    ran = bench.optr(*check, str(names[1]), cwd=tmp_path)
    assert (ran.code, "was changed" in ran.err) == (20, True)
    assert bench.optr("ledger", "export", "nobody").code == 2


def test_what_cannot_be_written_whole_is_not_left_in_part(bench: Bench, tmp_path: Path) -> None:
    small = ("bash", "-c", 'ulimit -f 1; exec "$@"', "-")  # kilobyte: a disk that is full before the end
    for command in (["export", "one", "--out", "evidence.tar"], ["prove", "1"]):
        argv = [*small, sys.executable, "-m", "bot.cli", "ledger", *command, "--repo", str(bench.repo)]
        environ = bench.environ(PYTHONPATH=str(ROOT))
        done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (4, "")
        assert "cannot be written: File too large" in done.stderr
        assert list(tmp_path.iterdir()) == []
    absent = bench.optr("ledger", "export", "one", "--out", str(tmp_path / "no" / "evidence.tar"))
    assert (absent.code, "cannot be written: No such file or directory" in absent.err) == (2, True)


def test_a_run_is_replayed_from_its_record_alone(bench: Bench) -> None:
    ran = bench.optr("ledger", "replay", "one", "--json")
    assert ran.code == 0, ran.err
    decision = json.loads(ran.out)["decisions"][0]
    settled = json.loads(_file(bench, "workflows/one/execution-complete.json"))["settlements"]
    assert set(decision["states"]) == {one["node"] for one in settled}
    assert decision["order"][0]["type"] == "MAEG_CREATED"
    assert decision["order"][-1]["type"] == "PDO_ORCH_AGGREGATED"
    assert decision["differences"] == []
    assert "As stored" in bench.optr("ledger", "replay", _lines(bench)[0]["run"]).out
    assert bench.optr("ledger", "replay", "nobody").code == 2


def test_every_change_to_what_is_stored_is_found_by_replay(bench: Bench) -> None:
    planned, decided = _lines(bench)
    names = ("events.jsonl", "execution-complete.json", "optr-selection.json")
    files = [_file(bench, f"workflows/one/{name}") for name in names]
    whole = Stored(planned, decided, *files)
    assert reconstruct(whole).differences == ()
    complete = json.loads(files[1])
    loser = next(one for one in complete["settlements"] if one["outcome"] != "SELECTED")
    swapped = files[1].replace(b'"SELECTED"', b'"X"').replace(f'"{loser["outcome"]}"'.encode(), b'"SELECTED"')
    changed = {
        "another winner in the line": Stored(planned, decided | {"selectedOptr": "breaker"}, *files),
        "another root in the line": Stored(planned, decided | {"aggregate": "0" * 64}, *files),
        "another graph in the line": Stored(planned | {"graph": "0" * 64}, decided, *files),
        "no plan": Stored(None, decided, *files),
        "a plan made later": Stored(planned | {"seq": 9}, decided, *files),
        "another run": Stored(planned, decided | {"run": "other"}, *files),
        "an event changed": Stored(
            planned, decided, files[0].replace(b"SUB_PAC_EXECUTED", b"SUB_PAC_FAILED", 1), *files[1:]
        ),
        "an event cut off": Stored(planned, decided, b"".join(files[0].splitlines(keepends=True)[:-1]), *files[1:]),
        "no events": Stored(planned, decided, b"", *files[1:]),
        "outcomes swapped": Stored(planned, decided, files[0], swapped, files[2]),
        "a settlement removed": Stored(
            planned,
            decided,
            files[0],
            json.dumps(complete | {"settlements": complete["settlements"][:1]}).encode(),
            files[2],
        ),
        "another winner's file": Stored(planned, decided, files[0], files[1], files[2].replace(b"mender", b"bender")),
        "no outcome": Stored(planned, decided, files[0], b"", files[2]),
    }
    found = {name: reconstruct(stored).differences for name, stored in changed.items()}
    assert [name for name, differences in found.items() if not differences] == []
    assert "line " in found["an event changed"][0].what  # the chain names the line
    assert "never aggregated" in found["an event cut off"][0].what


def _copied(
    bench: Bench,
    root: Path,
    line: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body,
    file: Callable[[str, bytes], bytes] = lambda _path, data: data,
) -> Path:
    """The whole record written again, as only its operator could: other lines and files, all digests and signatures."""
    git_dir, record = root / "record.git", extract(bench.repo / ".git", lambda _entry: True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(git_dir)], check=True)
    signer = Signer.generate(root / "key", "optr.local/thing")
    sequencer = Sequencer(git_dir, signer, FileCheckpoints(root / "checkpoints"))
    for entry in record.entries:
        told = entry.record
        body = line({name: value for name, value in told.items() if name not in COMMON | {"files"}})
        draft = Draft(entry.id, told["type"], told["workflow"], told["run"], told["actor"], entry.timestamp, body)
        files = {
            f"datalake/{path}": file(path, record.files[path]) for path in entry.files if path.startswith("workflows/")
        }
        sequencer.append([draft], files)
    return git_dir


def test_replay_finds_what_was_decided_under_another_policy(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    assert bench.optr("ledger", "replay", "one", "--repo", str(_copied(bench, tmp_path / "same"))).code == 0

    def line(body: dict[str, Any]) -> dict[str, Any]:
        return body | {"policy": "0" * 64} if "selectedOptr" in body else body

    def file(path: str, data: bytes) -> bytes:
        if path.endswith("/policy.json"):  # what it says of itself stays
            return data.replace(b"unless {", b"when {")
        if not path.endswith("/events.jsonl"):
            return data
        first, second, *more = read(data)
        changed = second.model_copy(update={"facts": second.facts | {"policy": "0" * 64}})
        return chain(json.loads(data.splitlines()[0])["run"], [first, changed, *more])

    git_dir = _copied(bench, tmp_path / "other", line, file)
    assert verify_branch(git_dir).problem is None, "nothing but the policies gives it away"
    ran = bench.optr("ledger", "replay", "one", "--repo", str(git_dir))
    assert ran.code == 20
    assert [told.removeprefix("error: ") for told in ran.err.splitlines() if told.startswith("error: ")] == [
        "ledger entry 2: OPTR_SELECTED names another policy than the plan, ledger entry 1",
        "events.jsonl line 2: SUB_PAC_ISSUED names another policy than the plan, ledger entry 1",
        "policy.json: it is not the policy that the plan names, ledger entry 1",
    ]


def _envelope(bench: Bench) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(_file(bench, "workflows/one/attestation.json"))
    return decoded


def _verify(envelope: dict[str, Any], public: bytes) -> dict[str, Any]:
    """Verify with securesystemslib and nothing of ours."""
    key = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public), keyid=envelope["signatures"][0]["keyid"])
    read = Envelope.from_dict(copy.deepcopy(envelope))
    read.verify([key], 1)
    assert read.payload_type == "application/vnd.in-toto+json"
    statement: dict[str, Any] = json.loads(read.payload)
    return statement


def test_the_attestation_of_a_run_verifies_with_securesystemslib(bench: Bench) -> None:
    statement = _verify(_envelope(bench), parse_vkey(_vkey(bench)).public)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    decided = _lines(bench)[1]
    patch = _file(bench, "workflows/one/patches/mender.patch")
    digests = {name: value for subject in statement["subject"] for name, value in subject["digest"].items()}
    assert digests == {
        "sha256": hashlib.sha256(patch).hexdigest(),
        "gitCommit": decided["commit"],
        "gitTree": decided["tree"],
    }
    assert bench.git("rev-parse", f"{digests['gitCommit']}^{{tree}}").strip() == digests["gitTree"]
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["requester"] == _lines(bench)[0]["actor"]
    assert sorted(definition["internalParameters"]["agents"]) == ["breaker", "mender"]
    assert definition["internalParameters"]["checks"] == ["tests"]
    assert definition["internalParameters"]["policy"] == _lines(bench)[0]["policy"]
    assert definition["internalParameters"]["config"] == _lines(bench)[0]["config"]
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == decided["run"]
    assert definition["buildType"]
    assert statement["predicate"]["runDetails"]["builder"]["id"]


def test_a_changed_attestation_is_refused_by_securesystemslib(bench: Bench) -> None:
    envelope, public = _envelope(bench), parse_vkey(_vkey(bench)).public
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(VerificationError):
        _verify(envelope, other)
    payload = envelope["payload"]
    with pytest.raises(VerificationError):
        _verify(envelope | {"payload": ("A" if payload[40] != "A" else "B").join((payload[:40], payload[41:]))}, public)
    with pytest.raises(VerificationError):
        _verify(envelope | {"payloadType": "application/vnd.in-toto"}, public)


def test_the_run_says_what_it_evidences_and_so_does_the_report(bench: Bench) -> None:
    planned, decided = _lines(bench)
    data, page = (_file(bench, f"workflows/one/compliance.{kind}") for kind in ("json", "md"))
    assert {"workflows/one/compliance.json", "workflows/one/compliance.md"} <= set(decided["files"])
    rows = json.loads(data)["controls"]
    assert all(f"| {row['framework']} | {row['control']} | {row['status']} |" in page.decode() for row in rows)
    rendered = [data.decode(), page.decode()]
    controls: dict[str, str] = {}
    for name in ("soc2", "iso27001", "nist-800-53"):
        text, ran = bench.optr("report", "--framework", name), bench.optr("report", "--framework", name, "--json")
        assert (text.code, ran.code) == (0, 0), text.err
        rendered += [text.out, ran.out]
        told = json.loads(ran.out)
        assert told["runs"] == 1
        assert (told["ledger"]["size"], told["since"]) == (2, "")
        assert f"Checkpoint of the ledger `{told['ledger']['origin']}`: 2 lines, root" in text.out
        for control in told["controls"]:
            controls[control["control"]] = control["status"]
            assert f"## {control['control']}: {control['status']}" in text.out
            for entry in control["runs"][0]["evidence"]:
                assert entry in ({"seq": one["seq"], "id": one["id"]} for one in (planned, decided))
    assert controls == {row["control"]: row["status"] for row in rows}
    assert controls["CC7.2"] == "supported"
    assert controls["CC8.1"] == "partial"  # nobody accepted the change yet
    assert controls["CC6.1"] == "not evidenced"  # asked from a terminal: nobody vouched for who asked
    assert [text for text in rendered if "compliant" in text.lower()] == []
    none = json.loads(bench.optr("report", "--framework", "soc2", "--since", "2090-01-01", "--json").out)
    assert {control["status"] for control in none["controls"]} == {"not evidenced"}
    assert bench.optr("report", "--framework", "pci").code == 2
