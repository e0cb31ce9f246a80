"""What witnesses said, on the branch: the newest checkpoint they cosigned, and their keys.

`datalake/cosigned` is a checkpoint with the ledger's signature and at least one cosignature, so any reader of signed
notes can judge it; `datalake/witnesses` holds the keys of these witnesses, one vkey on a line, sorted. Together each
byte of them is checked. They are nobody's proof by themselves, because whoever can push can bring a witness of their
own: which witnesses count is said by a reader's policy.

    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=

    — optr/octocat/hello w9knyLq2w7a0g7enMTjINLJ0WtctdAmmgWQMxnN4z1O5xBBlD9unARunV2eZtjwvzyTBDuSQB2TtrPHcxjugSqDN8gs=
    — w.example GI1QEwAAAABpJIFk2YoHnQvR0DgjcYQfIgcZjz0Y4IPQu3b7N+NVXgPlBlUg140cdVJUUj7L1u6DSwfAz0V/oPoamLBpGIH7ea0sDQ==

    w.example+188d5013+BMhTrQ8M0rYZrqks7sT9VqJNZJnVhM55JX5Fz9gTm2Cn
"""

from collections.abc import Mapping, Sequence
from contextlib import closing

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import NoteError, ProofError, QuorumError
from ledger.faults import Fault, FaultFound
from ledger.layout import CHECKPOINT, COSIGNED, WITNESSES
from ledger.merkle import consistency_proof, verify_consistency
from ledger.note import COSIGNATURE, Note, Signature, VerifierKey, parse_note, parse_vkey
from ledger.policy import Policy, cosigned
from ledger.rotation import Term, term_at, verify_head
from ledger.source import Source
from ledger.tiles import TileNodes


def files(checkpoint: bytes, found: Mapping[VerifierKey, Signature]) -> dict[str, bytes]:
    """Return the two files, by path.

    Args:
        checkpoint: signed by the ledger.
        found: verified cosignatures over it, by witness; at least one.
    """
    note = parse_note(checkpoint)
    keys = sorted(found, key=str)
    signed = Note(note.text, (*note.signatures, *(found[key] for key in keys)))
    return {COSIGNED: signed.encode(), WITNESSES: "".join(f"{key}\n" for key in keys).encode()}


def parse_witnesses(data: bytes) -> tuple[VerifierKey, ...]:
    """Read `datalake/witnesses`; what is accepted is written back byte for byte.

    Raises:
        NoteError: out of form, unsorted, or a key twice.
    """
    keys = [parse_vkey(line, COSIGNATURE) for line in data.decode("utf-8", "replace").split("\n")[:-1]]
    if not keys or "".join(f"{key}\n" for key in sorted(set(keys), key=str)).encode() != data:
        raise NoteError("the witnesses' keys must be sorted, each once, each on a line")
    return tuple(keys)


def standing(said: bytes, witnesses: bytes, checkpoint: bytes) -> dict[VerifierKey, Signature]:
    """Return, by witness, the good cosignatures of `checkpoint` that the branch holds; those of another one are none.

    Args:
        said: `datalake/cosigned`, of whatever tree head, or empty.
        witnesses: `datalake/witnesses`, or empty.
        checkpoint: signed by the ledger.
    """
    try:
        note, keys = parse_note(said), parse_witnesses(witnesses)
    except NoteError:
        return {}
    if note.text != parse_note(checkpoint).text:
        return {}
    return {key: one for key in keys for one in note.signatures if _is_by(key, one, note.text)}


def _is_by(key: VerifierKey, signature: Signature, text: str) -> bool:
    try:
        return cosigned(Note(text, (signature,)).encode(), key) is not None
    except NoteError:
        return False


def verify_cosigned(data: bytes, witnesses: bytes, terms: Sequence[Term]) -> Checkpoint:
    """Check every signature of `datalake/cosigned`: by the ledger's key whose term it is, and by all of its witnesses.

    Raises:
        NoteError: out of form, a signature is wrong, missing, or of nobody who is named.
    """
    checkpoint = verify_head(data, terms)
    named = parse_witnesses(witnesses)
    known = {(key.name, key.key_id) for key in (term_at(checkpoint.size, terms).key, *named)}
    signed = {(one.name, one.key_id) for one in parse_note(data).signatures}
    if not signed <= known:
        raise NoteError("somebody signed whose key is not here")
    absent = next((key for key in named if cosigned(data, key) is None), None)
    if absent is not None:
        raise NoteError(f"{absent.label} did not cosign")
    return checkpoint


def check_cosigned(source: Source, terms: Sequence[Term], policy: Policy | None) -> None:
    """Check what witnesses said against a ledger whose tree head was verified, and ask the policy whether it is enough.

    Raises:
        FaultFound: COSIGNED, MISSING_LINES, CHECKPOINT or POLICY.
    """
    head = _read(source, CHECKPOINT) or b""
    said, named = _read(source, COSIGNED), _read(source, WITNESSES)
    vouched: Checkpoint | None = None
    if said is not None or named is not None:
        try:
            vouched = verify_cosigned(said or b"", named or b"", terms)
            _check_extended(source, vouched, parse_checkpoint(head))
        except (NoteError, ProofError) as error:
            raise FaultFound(Fault.COSIGNED, str(error)) from error
    if policy is not None:
        _ask(policy, head, terms, said if said is not None and vouched == parse_checkpoint(head) else None, vouched)


def _check_extended(source: Source, vouched: Checkpoint, head: Checkpoint) -> None:
    if vouched.size > head.size:
        raise FaultFound(Fault.MISSING_LINES, f"witnesses cosigned {vouched.size}, {head.size} are here")
    nodes = TileNodes(head.size, lambda path: _read(source, path) or b"")
    proof = consistency_proof(vouched.size, head.size, nodes.node)
    verify_consistency(vouched.size, head.size, vouched.root, head.root, proof)


def _ask(policy: Policy, head: bytes, terms: Sequence[Term], said: bytes | None, vouched: Checkpoint | None) -> None:
    """Ask about the checkpoint with all that was said of it; cosignatures of fewer lines do not vouch for the rest."""
    note = parse_note(head)
    more = [one for one in parse_note(said).signatures if one not in note.signatures] if said is not None else []
    try:
        policy.check(Note(note.text, (*note.signatures, *more)).encode(), [term.key for term in terms])
    except QuorumError as error:
        behind = f"; of fewer lines, {vouched.size}, there are cosignatures" if vouched and said is None else ""
        raise FaultFound(Fault.POLICY, f"{error}{behind}") from error
    except NoteError as error:
        raise FaultFound(Fault.CHECKPOINT, str(error)) from error


def _read(source: Source, path: str) -> bytes | None:
    if path not in source.modes():
        return None
    with closing(source.read([path])) as contents:
        return next(contents)
