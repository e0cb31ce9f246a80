"""The audit bundle: one run's record in one file, for whoever keeps evidence.

A tar archive (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html), the same bytes each time it is
made from the same commit: members sorted, times and owners zero. Under the directory `optr-audit/`:

    lines.jsonl                     the run's ledger lines, exact bytes
    receipts/<seq>.tlog-proof       for each line, its inclusion under the checkpoint (https://c2sp.org/tlog-proof)
    checkpoint                      the signed tree head (https://c2sp.org/tlog-checkpoint)
    keys/<key id>.vkey              the ledger's verification keys, and keys/<key id>.rotation their hand-overs
    workflows/<workflow>/...        the files that the lines speak for, the attestation among them
    hashes.sha256                   SHA-256 of everything else, as sha256sum writes and checks it
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ledger.entry import Entry, parse
from ledger.errors import BundleError, LedgerError, NoteError
from ledger.extract import Extract
from ledger.layout import BRANCH, CHECKPOINT, KEYS
from ledger.note import VerifierKey, parse_vkey
from ledger.receipt import prove, verify_receipt
from ledger.rotation import SUFFIX, lineage, newest
from ledger.shown import quoted

TOP = "optr-audit"
LINES = "lines.jsonl"
RECEIPTS = "receipts/"
HASHES = "hashes.sha256"
BUNDLE_BYTES_MAX = 2**30  # bytes of a bundle that is read
_MODE = 0o644


@dataclass(frozen=True)
class Checked:
    """What a bundle proved.

    Attributes:
        origin: the ledger's name.
        size: lines under the checkpoint.
        entries: the bundle's lines.
        files: how many files they speak for.
    """

    origin: str
    size: int
    entries: tuple[Entry, ...]
    files: int


def pack(git_dir: Path, extract: Extract, ref: str = BRANCH) -> bytes:
    """Return the bundle of some entries.

    Args:
        git_dir: where `extract` is from; the receipts are made there.
        extract: the entries with their files.
        ref: the branch, by its full name.

    Raises:
        ProofError: the tiles do not lead to the checkpoint's root.
        BundleError: the branch moved meanwhile.
        GitError: git failed.
    """
    files = {
        LINES: b"".join(entry.line + b"\n" for entry in extract.entries),
        CHECKPOINT: extract.checkpoint,
        **extract.keys,
        **extract.files,
        **{f"{RECEIPTS}{entry.seq}.tlog-proof": prove(git_dir, entry.seq, ref) for entry in extract.entries},
    }
    if any(not receipt.endswith(extract.checkpoint) for name, receipt in files.items() if name.startswith(RECEIPTS)):
        raise BundleError("the branch moved while the bundle was made: run it again")
    files[HASHES] = _hashes(files)
    return _tar(files)


def check(data: bytes, vkey: str) -> Checked:
    """Check a bundle offline: its hashes, each line's hash and receipt, and every file's digest.

    Args:
        data: the archive.
        vkey: the verification key that is trusted, of now or before a rotation.

    Raises:
        BundleError: naming the member that is wrong.
        NoteError: `vkey` is malformed.
    """
    files = _untar(data)
    if files.get(HASHES) != _hashes({name: content for name, content in files.items() if name != HASHES}):
        raise BundleError(f"{HASHES} does not match: a member was changed, added or removed")
    entries = _lines(files.get(LINES, b""))
    vkey = str(_present({path: content for path, content in files.items() if path.startswith(KEYS)}, parse_vkey(vkey)))
    spoken: dict[str, str] = {}
    head = None
    for number, entry in enumerate(entries, 1):
        name = f"{RECEIPTS}{entry.seq}.tlog-proof"
        try:
            head = verify_receipt(files.get(name, b""), entry.line, vkey)
        except LedgerError as error:
            raise BundleError(f"{name}, for line {number} of {LINES}: {error}") from error
        if not files[name].endswith(b"\n\n" + files.get(CHECKPOINT, b"?")):
            raise BundleError(f"{name} is under another checkpoint than the bundle's")
        spoken |= entry.files
    if head is None:
        raise BundleError(f"{LINES} is empty or missing")
    _check_files(files, spoken, len(entries))
    return Checked(head.origin, head.size, tuple(entries), len(spoken))


def _present(files: Mapping[str, bytes], trusted: VerifierKey) -> VerifierKey:
    """Follow the hand-overs in the bundle from the trusted key to the one that signed."""
    if not any(path.endswith(SUFFIX) for path in files):
        return trusted
    try:
        return newest(lineage(files), trusted)
    except NoteError as error:
        raise BundleError(str(error)) from error


def _lines(content: bytes) -> list[Entry]:
    *whole, rest = content.split(b"\n")
    if rest:
        raise BundleError(f"{LINES} does not end in a line feed")
    entries = []
    for number, line in enumerate(whole, 1):
        try:
            entry = parse(line)
        except LedgerError as error:
            raise BundleError(f"{LINES}, line {number}: {error}") from error
        if entry.true_hash() != entry.hash:
            raise BundleError(f"{LINES}, line {number}: hash mismatch")
        entries.append(entry)
    return entries


def _check_files(files: Mapping[str, bytes], spoken: Mapping[str, str], entries: int) -> None:
    for path, digest in spoken.items():
        if path not in files or hashlib.sha256(files[path]).hexdigest() != digest:
            raise BundleError(f"{path} is missing, or not the file that its line speaks for")
    known = {*spoken, LINES, CHECKPOINT, HASHES}
    odd = sorted(path for path in files if path not in known and not path.startswith((KEYS, RECEIPTS)))
    receipts = sum(path.startswith(RECEIPTS) for path in files)
    if odd or receipts != entries:
        raise BundleError(f"{odd[0] if odd else RECEIPTS}: no line of the bundle speaks for it")


def _hashes(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.size, member.mode = len(files[name]), _MODE
            archive.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def _untar(data: bytes) -> dict[str, bytes]:
    if len(data) > BUNDLE_BYTES_MAX:
        raise BundleError(f"the bundle has more than {BUNDLE_BYTES_MAX} bytes")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                name = member.name.removeprefix(f"{TOP}/")
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or name == member.name or name in files:
                    raise BundleError(f"{quoted(member.name)} does not belong into a bundle, or is there twice")
                files[name] = content.read()
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"not a bundle: {error}") from error
    return files
