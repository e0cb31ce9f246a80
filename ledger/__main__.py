"""`python -m ledger verify`: what an auditor runs. Exit codes: 0 verified, 20 tampered, 21 incomplete, 2 usage.

21 also stands for a witness policy that is not met. Of the ledger only what is named is read; no connection is opened.

`python -m ledger new-key FILE NAME` makes a ledger's signing key and prints the verification key to give to readers.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from ledger.anchors import Anchor, anchors_on
from ledger.branch import resolve
from ledger.crew import JOBS_MAX, cores
from ledger.errors import LedgerError, SourceError
from ledger.faults import Kind
from ledger.keys import Signer
from ledger.policy import parse_policy
from ledger.verdict import Verification, describe, record
from ledger.verify import Manner, verify_file
from ledger.where import verify

EXIT_VERIFIED = 0
EXIT_USAGE = 2
EXIT_TAMPERED = 20
EXIT_INCOMPLETE = 21
_CODES = {Kind.TAMPERED: EXIT_TAMPERED, Kind.INCOMPLETE: EXIT_INCOMPLETE}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "new-key":
            _say(sys.stdout, [str(Signer.generate(options.file, options.name).vkey)])
            return EXIT_VERIFIED
        verification = _verify(options)
    except (LedgerError, OSError) as error:
        _say(sys.stderr, [f"error: {error}"])
        return EXIT_USAGE
    said = [json.dumps(record(verification))] if options.json else describe(verification)
    _say(sys.stdout, said)
    _say(sys.stderr, [f"note: {note}" for note in verification.notes])
    return _CODES[verification.problem.kind] if verification.problem else EXIT_VERIFIED


def _say(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines; a file's name may hold what the terminal's encoding does not."""
    text = "".join(f"{line}\n" for line in lines)
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ledger", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="verify a ledger", description=__doc__)
    places = verify.add_mutually_exclusive_group()
    places.add_argument("where", nargs="?", metavar="WHERE", help="a clone, a bare repository, a file, - (default: .)")
    places.add_argument("--repo", metavar="PATH", help="the same, for a clone")
    places.add_argument("--ledger", type=Path, metavar="FILE", help="a ledger.jsonl, alone or in a checkout")
    verify.add_argument("--key", metavar="VKEY", help="the verification key you trust (name+hex+base64)")
    verify.add_argument("--branch", metavar="NAME", help="of a repository: the branch, or full ref (default: datalake)")
    kept = verify.add_mutually_exclusive_group()
    kept.add_argument("--checkpoint", type=Path, metavar="FILE", help="a checkpoint you kept; must be extended")
    kept.add_argument("--since", type=Path, metavar="FILE", help="the same, but read only what is new in full")
    verify.add_argument("--policy", type=Path, metavar="FILE", help="witnesses that must vouch (c2sp.org/tlog-policy)")
    verify.add_argument("--anchors", metavar="REF", help="branch of the same clone whose tree heads must be extended")
    verify.add_argument("--jobs", type=_jobs, default=cores(), metavar="N", help="processes (default: %(default)s)")
    verify.add_argument("--json", action="store_true", help="print one versioned JSON object")
    key = commands.add_parser("new-key", help="make a signing key", description="Print the verification key.")
    key.add_argument("file", type=Path, metavar="FILE", help="where to put it, mode 0600; must not exist")
    key.add_argument("name", metavar="NAME", help="the ledger's name, such as optr/OWNER/REPOSITORY")
    return parser


def _verify(options: argparse.Namespace) -> Verification:
    kept = options.since or options.checkpoint
    remembered = kept.read_bytes() if kept else None
    policy = parse_policy(options.policy.read_bytes()) if options.policy else None
    manner = Manner(options.jobs, incremental=options.since is not None, policy=policy, anchors=_anchors(options))
    if options.ledger is not None:
        if options.branch is not None:
            raise SourceError("--branch needs a repository, and --ledger names a file")
        return verify_file(options.ledger, options.key, remembered, manner)
    return verify(
        options.where or options.repo or ".", sys.stdin.buffer, options.key, remembered, manner, options.branch
    )


def _anchors(options: argparse.Namespace) -> tuple[Anchor, ...]:
    if options.anchors is None:
        return ()
    return anchors_on(resolve(Path(options.where or options.repo or ".")), options.anchors)


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= JOBS_MAX:
        raise argparse.ArgumentTypeError(f"it must be 1 to {JOBS_MAX}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
