"""From the checkpoint over a witness's HTTP to a policy that is met, and what becomes of it when somebody cheats."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ledger.branch import GitDir
from ledger.collect import Tree, ask, post
from ledger.cosignature import witness_key
from ledger.cosigned import files, parse_witnesses
from ledger.errors import NoteError, WitnessError, WitnessSawOtherError
from ledger.faults import Fault, Kind
from ledger.keyring import Asked, Cause, KeyRing
from ledger.keys import Signer
from ledger.note import Note, Signature, VerifierKey, parse_note
from ledger.policy import Policy, cosigned_text, parse_policy
from ledger.store import FileCheckpoints
from ledger.verify import Manner, verify_file
from ledger.witness import Witness
from ledger.witness_server import create_app

WITNESS = Signer("witness.example/ours", b"w" * 32)
KEY = witness_key(WITNESS)


@pytest.fixture
def serve() -> Iterator[Callable[[web.Application], str]]:
    ends: list[Callable[[], None]] = []

    def begin(app: web.Application) -> str:
        ready, loop, runner = threading.Event(), asyncio.new_event_loop(), web.AppRunner(app)

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            loop.call_soon(ready.set)

        def work() -> None:
            loop.run_until_complete(start())
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.close()

        thread = threading.Thread(target=work)
        thread.start()
        ends.extend([lambda: loop.call_soon_threadsafe(loop.stop), thread.join])  # type: ignore[list-item]
        assert ready.wait(60)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield begin
    for end in ends:
        end()


@pytest.fixture
def url(world: Any, tmp_path: Path, serve: Callable[[web.Application], str]) -> str:
    store = FileCheckpoints(tmp_path / "witness")
    return serve(create_app(Witness(WITNESS, [world.signer.vkey], store, lambda: 1_764_000_000.0)))


def policy(url: str = "", key: VerifierKey = KEY) -> Policy:
    return parse_policy(f"witness ours {key} {url}\nquorum ours\n".encode())


def collect(world: Any, url: str, key: VerifierKey = KEY) -> bool:
    checkpoint = world.show("datalake/checkpoint")
    found = ask(url, key, Tree.at(GitDir(world.git_dir), world.tip()), post)
    return bool(world.sequencer().keep_cosigned(checkpoint, {key: found}))


def judged(world: Any, wanted: Policy | None = None) -> Fault | None:
    problem = world.verify(manner=Manner(policy=wanted)).problem
    return problem.fault if problem is not None else None


def test_the_policy_is_met_once_the_witness_cosigned_and_not_before(world: Any, url: str) -> None:
    wanted = policy(url)
    assert wanted.urls == {"ours": url}
    world.append(0, 1)
    assert judged(world, wanted) is Fault.POLICY
    assert collect(world, url)
    assert judged(world, wanted) is None
    assert judged(world) is None
    world.append(2)
    assert judged(world) is None, "cosignatures of fewer lines stay true"
    found = world.verify(manner=Manner(policy=wanted)).problem
    assert (found.fault, found.kind) == (Fault.POLICY, Kind.INCOMPLETE)
    assert "of fewer lines, 2" in found.detail
    assert collect(world, url), "the witness said how far it was, and got the proof from there"
    assert judged(world, wanted) is None
    stranger = witness_key(Signer("witness.example/ours", b"s" * 32))
    assert judged(world, policy(key=stranger)) is Fault.POLICY


def test_appends_go_on_over_cosignatures_in_the_same_and_in_a_new_process(world: Any, url: str) -> None:
    sequencer = world.sequencer()
    for number in range(3):
        sequencer.append([world.draft(number)], {})
        found = ask(url, KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)
        assert sequencer.keep_cosigned(world.show("datalake/checkpoint"), {KEY: found})
    world.append(3)
    assert judged(world) is None
    assert world.git("rev-list", "--count", "refs/heads/datalake") == "7"
    assert not world.git("for-each-ref", "refs/optr/")


def test_cosignatures_that_an_append_overtook_are_left_out(world: Any, url: str) -> None:
    world.append(0)
    checkpoint = world.show("datalake/checkpoint")
    found = ask(url, KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)
    world.append(1)
    assert not world.sequencer().keep_cosigned(checkpoint, {KEY: found})
    assert "datalake/cosigned" not in world.paths()


def test_a_later_cosignature_of_the_same_head_keeps_the_earlier_ones_that_are_good(world: Any) -> None:
    theirs = Signer("witness.example/theirs", b"t" * 32)
    silent = Signer("witness.example/silent", b"s" * 32)
    world.append(0)
    checkpoint = world.show("datalake/checkpoint")

    def says(witness: Signer, seconds: int) -> Signature:
        text = parse_note(checkpoint).text
        blob = seconds.to_bytes(8, "big") + witness.sign(cosigned_text(text, seconds))
        return Signature(witness.origin, witness_key(witness).key_id, blob)

    first, again = says(WITNESS, 1), says(WITNESS, 2)
    assert world.sequencer().keep_cosigned(checkpoint, {KEY: first})
    # Somebody who can push names a witness that said nothing.
    forged = "".join(f"{key}\n" for key in sorted([KEY, witness_key(silent)], key=str))
    world.commit({"datalake/witnesses": forged.encode()})
    assert judged(world) is Fault.COSIGNED
    assert world.sequencer().keep_cosigned(checkpoint, {witness_key(theirs): says(theirs, 1)})
    assert judged(world) is None
    assert parse_witnesses(world.show("datalake/witnesses")) == (KEY, witness_key(theirs))
    assert first in parse_note(world.show("datalake/cosigned")).signatures
    assert world.sequencer().keep_cosigned(checkpoint, {KEY: again})
    assert parse_note(world.show("datalake/cosigned")).signatures[1:] == (again, says(theirs, 1))

    world.append(1)
    checkpoint = world.show("datalake/checkpoint")
    assert world.sequencer().keep_cosigned(checkpoint, {KEY: says(WITNESS, 3)})
    assert parse_witnesses(world.show("datalake/witnesses")) == (KEY,), "of fewer lines is of another head"


def test_a_wrong_cosignature_is_never_written(world: Any, url: str) -> None:
    world.append(0)
    good = ask(url, KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)
    bad = Signature(good.name, good.key_id, good.blob[:-1] + bytes([good.blob[-1] ^ 1]))
    with pytest.raises(NoteError):
        world.sequencer().keep_cosigned(world.show("datalake/checkpoint"), {KEY: bad})
    assert "datalake/cosigned" not in world.paths()


def test_the_witness_notices_a_rollback_and_a_second_history(world: Any, url: str, tmp_path: Path) -> None:
    world.append(0)
    first = world.tip()
    world.append(1)
    assert collect(world, url)
    rolled = Tree.at(GitDir(world.git_dir), first)
    with pytest.raises(WitnessSawOtherError, match="of 2 lines; here are 1"):
        ask(url, KEY, rolled, post)
    for numbers in ([7, 8], [7, 8, 9]):
        other = tmp_path / str(len(numbers))
        other.mkdir()
        twin = type(world)(other, other / "repository.git", world.keys, FileCheckpoints(other / "store"), world.signer)
        GitDir(world.git_dir).run("init", "-q", "--bare", str(twin.git_dir))
        twin.append(*numbers)
        with pytest.raises(WitnessSawOtherError):
            ask(url, KEY, Tree.at(GitDir(twin.git_dir), twin.tip()), post)


def test_a_branch_cut_back_behind_what_was_cosigned_is_found(world: Any, url: str) -> None:
    world.append(0)
    first = world.tip()
    world.append(1)
    assert collect(world, url)
    both = {name: world.show(f"datalake/{name}") for name in ("cosigned", "witnesses")}
    world.git("update-ref", "refs/heads/datalake", first)
    world.commit({f"datalake/{name}": content for name, content in both.items()})
    assert judged(world) is Fault.MISSING_LINES


def test_every_flipped_byte_of_what_witnesses_said_is_found(world: Any, url: str) -> None:
    world.append(0, 1)
    assert collect(world, url)
    world.append(2)
    datalake = world.checkout()
    for name in ("cosigned", "witnesses"):
        file = datalake / name
        original = file.read_bytes()
        for at in range(len(original)):
            file.write_bytes(bytes([*original[:at], original[at] ^ 1, *original[at + 1 :]]))
            found = verify_file(datalake / "ledger.jsonl").problem
            assert found is not None, (name, at)
            assert found.kind is Kind.TAMPERED, (name, at)
        file.unlink()
        assert verify_file(datalake / "ledger.jsonl").problem is not None, f"{name} alone is missing"
        file.write_bytes(original)
    assert verify_file(datalake / "ledger.jsonl").problem is None


def test_what_was_cosigned_before_a_rotation_stays_true_and_the_next_key_signs_from_there(
    world: Any, serve: Callable[[web.Application], str], tmp_path: Path
) -> None:
    world.append(0, 1)
    first = world.signer
    new = KeyRing.open(world.directory / "key").stage(Asked("ada", 1_764_000_000_000, Cause.PLANNED))
    store = FileCheckpoints(tmp_path / "witness")
    url = serve(create_app(Witness(WITNESS, [first.vkey, new.vkey], store, lambda: 1_764_000_000.0)))
    assert collect(world, url)
    before = world.show("datalake/checkpoint")
    world.sequencer().settle()
    assert world.signer.vkey == new.vkey
    assert judged(world) is None, "the first key's term covers what it signed"
    assert collect(world, url)
    wanted = parse_policy(f"log {first.vkey}\nwitness ours {KEY} {url}\nquorum ours\n".encode())
    assert judged(world, wanted) is None, "who trusts the first key follows to the next"
    text = parse_note(world.show("datalake/cosigned"))
    forged = first.sign(text.text.encode())
    cosignature = next(one for one in text.signatures if one.name == KEY.name)
    signatures = (Signature(first.origin, first.vkey.key_id, forged), cosignature)
    world.commit({"datalake/cosigned": Note(text.text, signatures).encode()})
    assert judged(world) is Fault.COSIGNED, "the retired key's term is over"
    assert not world.sequencer().keep_cosigned(before, {KEY: cosignature})


@pytest.mark.parametrize(
    ("status", "body", "location"),
    [
        (200, b"<html>", ""),
        (200, b"\xff" * 100_000, ""),
        (409, b"many\n", ""),
        (404, b"", ""),
        (403, b"", ""),
        (599, b"", ""),
        (307, b"", "/elsewhere"),
    ],
)
def test_garbage_is_an_error_of_the_witness(
    world: Any, serve: Callable[[web.Application], str], status: int, body: bytes, location: str
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, body=body, headers={"Location": location} if location else {})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    world.append(0)
    with pytest.raises(WitnessError):
        ask(serve(app), KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)
    assert asked == ["/add-checkpoint"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "file:///etc/passwd", "nonsense"])
def test_a_witness_that_is_not_there_is_an_error_that_says_so(world: Any, url: str) -> None:
    world.append(0)
    with pytest.raises(WitnessError, match=r"ours\+"):
        ask(url, KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)


def test_the_keys_of_witnesses_have_one_form(world: Any, url: str) -> None:
    world.append(0)
    found = ask(url, KEY, Tree.at(GitDir(world.git_dir), world.tip()), post)
    content = files(world.show("datalake/checkpoint"), {KEY: found})["witnesses"]
    assert parse_witnesses(content) == (KEY,)
    for bad in (b"", content * 2, content[:-1], b"\n" + content, content + b"\n"):
        with pytest.raises(NoteError):
            parse_witnesses(bad)
