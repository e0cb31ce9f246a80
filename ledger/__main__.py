"""`python -m ledger verify`: what an auditor runs. Exit codes: 0 verified, 20 tampered, 21 incomplete, 2 usage.

`python -m ledger new-key FILE NAME` makes a ledger's signing key and prints the verification key to give to readers.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ledger.branch import GitDir, resolve
from ledger.errors import LedgerError
from ledger.faults import Kind
from ledger.keys import Signer
from ledger.layout import BRANCH
from ledger.verify import Verification, describe, verify_branch, verify_file

EXIT_VERIFIED = 0
EXIT_USAGE = 2
EXIT_TAMPERED = 20
EXIT_INCOMPLETE = 21
_REMOTE_BRANCH = "refs/remotes/origin/datalake"
_CODES = {Kind.TAMPERED: EXIT_TAMPERED, Kind.INCOMPLETE: EXIT_INCOMPLETE}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "new-key":
            sys.stdout.write(f"{Signer.generate(options.file, options.name).vkey}\n")
            return EXIT_VERIFIED
        verification = _verify(options)
    except (LedgerError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_USAGE
    sys.stdout.write("".join(f"{line}\n" for line in describe(verification)))
    sys.stderr.write("".join(f"note: {note}\n" for note in verification.notes))
    return _CODES[verification.problem.kind] if verification.problem else EXIT_VERIFIED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ledger", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="verify a ledger", description=__doc__)
    where = verify.add_mutually_exclusive_group()
    where.add_argument("--repo", type=Path, metavar="PATH", help="a clone with the datalake branch (default: .)")
    where.add_argument("--ledger", type=Path, metavar="FILE", help="a ledger.jsonl, alone or in a checkout")
    verify.add_argument("--key", metavar="VKEY", help="the verification key you trust (name+hex+base64)")
    verify.add_argument("--checkpoint", type=Path, metavar="FILE", help="a checkpoint you kept; must be extended")
    key = commands.add_parser("new-key", help="make a signing key", description="Print the verification key.")
    key.add_argument("file", type=Path, metavar="FILE", help="where to put it, mode 0600; must not exist")
    key.add_argument("name", metavar="NAME", help="the ledger's name, such as optr/OWNER/REPOSITORY")
    return parser


def _verify(options: argparse.Namespace) -> Verification:
    remembered = options.checkpoint.read_bytes() if options.checkpoint else None
    if options.ledger is not None:
        return verify_file(options.ledger, options.key, remembered)
    repository = resolve(options.repo or Path())
    return verify_branch(repository.path, _branch(repository), options.key, remembered)


def _branch(repository: GitDir) -> str:
    """Return the ref to verify: a fresh clone has the branch only as that of its remote."""
    local = repository.tip(BRANCH)
    return BRANCH if local is not None or repository.tip(_REMOTE_BRANCH) is None else _REMOTE_BRANCH


if __name__ == "__main__":
    sys.exit(main())
