"""Writes a large, genuine ledger fast: every byte as the sequencer would have left it, but in one commit.

Lines are made from a template instead of being sealed one by one; the first and the last are sealed properly, too, and
must come out the same.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ledger import entry, merkle
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.layout import CHECKPOINT, OPEN_SEGMENT, SEGMENT_LINES, key_path, segment_path
from ledger.note import VerifierKey
from ledger.store import FileCheckpoints
from ledger.tiles import WIDTH, Edge, bundle, bundle_path

ORIGIN = "optr/bench/mark"
START_MS = 1_764_000_000_000
WORKFLOWS = 1000  # directories that hold the files of all runs
PADDING = "x" * 1000  # makes lines about as long as the recorded selection of a run


@dataclass(frozen=True)
class Ledger:
    """A repository with a ledger, its key and its store.

    Attributes:
        directory: holds the three.
        git_dir: a bare repository.
        signer: its key.
        store: remembers its checkpoint.
    """

    directory: Path
    git_dir: Path
    signer: Signer
    store: FileCheckpoints


def empty(directory: Path) -> Ledger:
    """Make a repository without a ledger, a key and a store."""
    git_dir = directory / "repository.git"
    subprocess.run(["git", "init", "-q", "--bare", "--template=", str(git_dir)], check=True)
    return Ledger(directory, git_dir, Signer(ORIGIN, bytes(32)), FileCheckpoints(directory / "store"))


def draft(number: int) -> Draft:
    """Return the draft of line `number`."""
    run = hashlib.sha256(b"%d" % number).hexdigest()[:16]
    workflow = f"issue-{number % WORKFLOWS}"
    body = {"n": number, "padding": PADDING}
    return Draft(f"{run}/OPTR_SELECTED", "OPTR_SELECTED", workflow, run, "octocat", START_MS + number, body)


def write(directory: Path, size: int) -> Ledger:
    """Make a ledger of `size` lines; only its first line speaks for a file, the verification key."""
    made = empty(directory)
    edge, tree, digest = Edge(), merkle.Frontier(), hashlib.sha256()
    with tempfile.TemporaryFile() as stream:
        stream.write(b"feature done\ncommit refs/heads/datalake\n")
        stream.write(b"committer OPTR <optr@localhost> %d +0000\ndata 5\nbulk\n" % (START_MS // 1000))
        block: list[bytes] = []
        for number, line in enumerate(lines(size, made.signer.vkey)):
            digest.update(line)
            leaf = merkle.leaf_hash(line)
            tree.append(leaf)
            for path, content in edge.add(leaf):
                _file(stream, path, content)
            block.append(line)
            if len(block) == WIDTH or number == size - 1:
                _block(stream, number, size, block)
                block = []
        for path, content in edge.partials().items():
            _file(stream, path, content)
        checkpoint = made.signer.sign_checkpoint(size, tree.root())
        _file(stream, CHECKPOINT, checkpoint)
        _file(stream, key_path(made.signer.vkey.key_id), f"{made.signer.vkey}\n".encode())
        stream.write(b"done\n")
        stream.seek(0)
        options = ["-c", "core.compression=1", "-c", "fastimport.unpackLimit=1"]
        command = ["git", f"--git-dir={made.git_dir}", *options, "fast-import", "--quiet", "--done"]
        subprocess.run(command, stdin=stream, check=True)
    if not made.store.swap(ORIGIN, None, checkpoint):
        raise SystemExit("the store was not empty")
    return made


def lines(size: int, vkey: VerifierKey) -> Iterator[bytes]:
    """Yield genuine lines, chained."""
    spoken = {"files": {key_path(vkey.key_id): hashlib.sha256(f"{vkey}\n".encode()).hexdigest()}}
    previous = entry.GENESIS
    for number in range(size):
        one = draft(number)
        if number == 0:
            line = entry.seal(Draft(**{**vars(one), "body": {**one.body, **spoken}}), 0, previous)
        else:
            line = _template(one, number, previous)
            if number in (1, size - 1) and line != entry.seal(one, number, previous):
                raise SystemExit("the template no longer writes what the ledger writes")
        previous = line.partition(b'"hash":"')[2][:64].decode()
        yield line


def _template(one: Draft, number: int, previous: str) -> bytes:
    start = '{"actor":"octocat",'
    rest = (
        f'"id":"{one.id}","n":{number},"padding":"{PADDING}","previousHash":"{previous}","run":"{one.run}",'
        f'"seq":{number},"timestamp":{one.timestamp},"type":"{one.type}","v":1,"workflow":"{one.workflow}"}}'
    )
    digest = hashlib.sha256(f"{start}{rest}".encode()).hexdigest()
    return f'{start}"hash":"{digest}",{rest}'.encode()


def _block(stream: IO[bytes], last: int, size: int, block: list[bytes]) -> None:
    first = last + 1 - len(block)
    for at in range(0, len(block), SEGMENT_LINES):
        segment = block[at : at + SEGMENT_LINES]
        newest = first + at + len(segment) == size
        path = OPEN_SEGMENT if newest else segment_path((first + at) // SEGMENT_LINES)
        _file(stream, path, b"".join(line + b"\n" for line in segment))
    if len(block) == WIDTH:
        _file(stream, bundle_path(first // WIDTH), bundle(block))


def _file(stream: IO[bytes], path: str, content: bytes) -> None:
    stream.write(b"M 100644 inline datalake/%s\ndata %d\n%s\n" % (path.encode(), len(content), content))
