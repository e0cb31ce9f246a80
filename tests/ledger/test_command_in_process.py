"""`python -m ledger verify` and `new-key`: what they say where, and the status they end with."""

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from ledger.__main__ import main
from ledger.branch import GitDir, resolve
from ledger.bundle import pack
from ledger.commit import Commit
from ledger.crew import JOBS_MAX, cores
from ledger.extract import extract
from ledger.keys import Signer
from ledger.verdict import NO_CHECKPOINT, NO_TRUST
from tests.ledger.conftest import World

Said = pytest.CaptureFixture[str]
STRANGER = Signer("optr/octocat/hello", b"s" * 32)


def ran(said: Said, *args: str | Path) -> tuple[int, str, str]:
    code = main(list(map(str, args)))
    return code, *said.readouterr()


def test_a_good_ledger_is_told_in_five_lines_and_what_was_not_asked_in_a_note(world: World, capsys: Said) -> None:
    world.append(0, 1)
    place = f"{world.git_dir} refs/heads/datalake"
    told = f"Verifying ledger: {place}\nEntries: 2\nAll hashes valid\nChain linkage intact\nLedger verified\n"
    assert ran(capsys, "verify", "--repo", world.git_dir) == (0, told, f"note: {NO_TRUST}\n")
    assert ran(capsys, "verify", world.git_dir, "--key", str(world.signer.vkey)) == (0, told, "")


def test_each_way_to_name_a_ledger_and_what_is_kept_of_it(
    world: World, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    (early := tmp_path / "early").write_bytes(world.show("datalake/checkpoint"))
    world.append(1, 2)
    (late := tmp_path / "late").write_bytes(world.show("datalake/checkpoint"))
    file, key = world.checkout() / "ledger.jsonl", str(world.signer.vkey)
    for place in ([], ["--repo", "."], ["."]):
        with monkeypatch.context() as at:
            at.chdir(world.git_dir)
            assert ran(capsys, "verify", *place, "--key", key)[::2] == (0, "")
    assert ran(capsys, "verify", "--ledger", file, "--key", key)[::2] == (0, "")
    for option in ("--checkpoint", "--since"):
        assert ran(capsys, "verify", "--ledger", file, "--key", key, option, early)[0] == 0
    alone = tmp_path / "lines.jsonl"
    alone.write_bytes(file.read_bytes())
    assert ran(capsys, "verify", "--ledger", alone)[::2] == (0, f"note: {NO_CHECKPOINT}\n")
    with monkeypatch.context() as at:
        at.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(file.read_bytes().splitlines(keepends=True)[:2])))
        )
        code, out, _ = ran(capsys, "verify", "-", "--checkpoint", late)
        assert (code, "2 are here" in out) == (20, True)


def test_since_says_what_it_did_not_read_again(world: World, tmp_path: Path, capsys: Said) -> None:
    world.sequencer().append([world.draft(n) for n in range(300)], {})
    (kept := tmp_path / "kept").write_bytes(world.show("datalake/checkpoint"))
    key = str(world.signer.vkey)
    _, _, notes = ran(capsys, "verify", world.git_dir, "--key", key, "--since", kept)
    assert notes == (
        "note: the first 256 lines, and the files they speak for, "
        "were believed from the checkpoint and not read again\n"
    )
    assert ran(capsys, "verify", world.git_dir, "--key", key, "--checkpoint", kept)[::2] == (0, "")


def test_what_was_tampered_with_and_what_is_not_all_here_end_apart(world: World, tmp_path: Path, capsys: Said) -> None:
    world.append(0, 1)
    code, out, _ = ran(capsys, "verify", world.git_dir, "--key", str(STRANGER.vkey))
    assert (code, "checkpoint invalid" in out) == (20, True)
    (tmp_path / "policy").write_text(f"log {world.signer.vkey}\nwitness w {_witness()}\nquorum w\n")
    code, out, _ = ran(capsys, "verify", world.git_dir, "--policy", tmp_path / "policy")
    assert (code, "the quorum 'w' is not reached" in out) == (21, True)
    code, out, _ = ran(capsys, "verify", world.git_dir, "--json", "--policy", tmp_path / "policy")
    told = json.loads(out)
    assert (code, told["version"], told["entries"], told["problem"]["kind"]) == (21, 1, 2, "incomplete")


def _witness() -> str:
    from ledger.cosignature import witness_key  # noqa: PLC0415

    return str(witness_key(Signer("witness.example/w", b"w" * 32)))


def test_anchors_are_asked_for_by_name_and_only_then(
    world: World, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    git, ref = GitDir(world.git_dir), "refs/heads/elsewhere"
    foreign = STRANGER.sign_checkpoint(1, bytes(32))
    made = git.stage(Commit(None, "Anchor\n", 1_764_000_000, {"checkpoint": foreign}), "refs/optr/test")
    world.git("update-ref", ref, made)
    assert ran(capsys, "verify", world.git_dir)[0] == 0
    for place in (["--repo", world.git_dir], [world.git_dir]):
        code, out, _ = ran(capsys, "verify", *place, "--anchors", ref)
        assert (code, "differs from an anchor" in out) == (20, True)
    monkeypatch.chdir(world.git_dir)
    assert ran(capsys, "verify", "--anchors", ref)[0] == 20
    code, _, err = ran(capsys, "verify", "--anchors", "refs/heads/none")
    assert (code, err) == (2, "error: there is no refs/heads/none here: fetch it\n")
    code, out, err = ran(capsys, "verify", "--anchors", "refs/heads/datalake")
    assert (code, out) == (2, "")
    assert "no tree head was ever anchored on refs/heads/datalake" in err


def test_anchors_of_a_shallow_clone_are_not_all_and_the_reader_is_told(
    world: World, tmp_path: Path, capsys: Said
) -> None:
    world.append(0)
    git = GitDir(world.git_dir)
    first = git.stage(Commit(None, "A\n", 1, {"checkpoint": world.show("datalake/checkpoint")}), "refs/optr/a")
    world.append(1)
    second = git.stage(Commit(first, "B\n", 2, {"checkpoint": world.show("datalake/checkpoint")}), "refs/optr/b")
    world.git("update-ref", "refs/heads/datalake-anchors", second)
    clone = tmp_path / "shallow"
    world.git("clone", "-q", "--bare", "--depth", "1", "--no-single-branch", f"file://{world.git_dir}", str(clone))
    assert ran(capsys, "verify", clone)[0] == 0
    code, out, err = ran(capsys, "verify", clone, "--anchors", "refs/heads/datalake-anchors")
    assert (code, out) == (2, "")
    assert "this clone is shallow" in err
    whole = ("fetch", "-q", "--unshallow", f"file://{world.git_dir}", "refs/heads/datalake-anchors")
    world.git(f"--git-dir={clone}", *whole)
    assert ran(capsys, "verify", clone, "--anchors", "refs/heads/datalake-anchors")[0] == 0


def test_a_branch_of_another_name_is_verified_by_it(world: World, tmp_path: Path, capsys: Said) -> None:
    world.append(0)
    files = world.checkout()
    world.git("branch", "-m", "datalake", "theirs")
    clone = tmp_path / "clone"
    world.git("clone", "-q", "--no-checkout", f"file://{world.git_dir}", str(clone))
    for place, ref in ((world.git_dir, "refs/heads/theirs"), (clone, "refs/remotes/origin/theirs")):
        code, out, _ = ran(capsys, "verify", place, "--branch", "theirs")
        assert (code, out.splitlines()[0]) == (0, f"Verifying ledger: {resolve(place).path} {ref}")
        assert ran(capsys, "verify", place, "--branch", ref)[0] == 0
        assert ran(capsys, "verify", place)[0] == 21
        assert ran(capsys, "verify", place, "--branch", "other")[0] == 21
    for args in ([files], ["-"], [files / "ledger.jsonl"], ["--ledger", files / "ledger.jsonl"]):
        code, out, err = ran(capsys, "verify", *args, "--branch", "theirs")
        assert (code, out, "branch" in err) == (2, "", True)


def test_a_repository_whose_name_is_no_utf8_is_verified_too(world: World, tmp_path: Path, capsys: Said) -> None:
    world.append(0)
    named = tmp_path / os.fsdecode(b"caf\xe9")
    world.git_dir.rename(named)
    code, out, _ = ran(capsys, "verify", named)
    assert (code, out.splitlines()[0]) == (0, f"Verifying ledger: {tmp_path}/caf\\udce9 refs/heads/datalake")


def test_a_runs_bundle_is_not_called_a_ledger_that_was_tampered_with(
    world: World, tmp_path: Path, capsys: Said
) -> None:
    world.append(0)
    bundle = tmp_path / "evidence.tar"
    bundle.write_bytes(pack(world.git_dir, extract(world.git_dir, lambda _: True)))
    code, out, err = ran(capsys, "verify", bundle)
    assert (code, out) == (2, "")
    assert f"optr ledger export --check {bundle}" in err


def test_wrong_words_are_a_matter_of_usage(world: World, tmp_path: Path, capsys: Said) -> None:
    world.append(0)
    code, out, err = ran(capsys, "verify", tmp_path / "nowhere")
    assert (code, out, err.startswith("error: there is nothing at")) == (2, "", True)
    assert ran(capsys, "verify", world.git_dir, "--checkpoint", tmp_path / "gone")[0] == 2
    for jobs in ("0", "-1", "x", "", "²", str(JOBS_MAX + 1)):
        with pytest.raises(SystemExit, match="2"):
            main(["verify", str(world.git_dir), "--jobs", jobs])
        assert f"it must be 1 to {JOBS_MAX}" in capsys.readouterr().err
    for jobs in ("1", str(JOBS_MAX)):
        assert ran(capsys, "verify", world.git_dir, "--jobs", jobs)[0] == 0
    for args in ([], ["verify", "a", "--repo", "b"], ["verify", "--checkpoint", "a", "--since", "b"], ["new-key", "a"]):
        with pytest.raises(SystemExit, match="2"):
            main(args)
        assert capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["verify", "--help"])
    assert f"(default: {cores()})" in capsys.readouterr().out


def test_a_new_key_is_never_put_over_another(tmp_path: Path, capsys: Said) -> None:
    code, out, err = ran(capsys, "new-key", tmp_path / "key", "optr/octocat/hello")
    assert (code, out, err) == (0, f"{Signer.load(tmp_path / 'key').vkey}\n", "")
    code, out, err = ran(capsys, "new-key", tmp_path / "key", "optr/octocat/hello")
    assert (code, out, "exists already" in err) == (2, "", True)


def test_the_help_names_each_word_that_an_option_takes(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    said = {}
    for command in ("verify", "new-key"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        said[command] = capsys.readouterr().out
    taken = dict(re.findall(r"^  (--[a-z]+)(?: ([A-Z]+))?  ", said["verify"], re.MULTILINE))
    assert taken == {
        "--repo": "PATH",
        "--ledger": "FILE",
        "--branch": "NAME",
        "--key": "VKEY",
        "--checkpoint": "FILE",
        "--since": "FILE",
        "--policy": "FILE",
        "--anchors": "REF",
        "--jobs": "N",
        "--json": "",
    }
    assert re.search(r"^usage: python -m ledger verify .* \[WHERE\]$", said["verify"], re.MULTILINE)
    assert re.search(r"^usage: python -m ledger new-key \[-h\] FILE NAME$", said["new-key"], re.MULTILINE)
