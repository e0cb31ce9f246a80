"""How `optr` ends: one table for the program, its documentation and its tests."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The process's exit status. Every other status is reserved."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NO_WINNER = 3
    INFRASTRUCTURE = 4
    DENIED = 5
    TAMPERED = 20
    INCOMPLETE = 21
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "a winner, a verified ledger, or simply done",
    ExitCode.INTERNAL: "a fault of OPTR's own; `--verbose` shows the traceback",
    ExitCode.USAGE: "usage or configuration: an option, a setting, a file that people write",
    ExitCode.NO_WINNER: "no winner: `No admissible results from any agent`, or a workflow waits for `optr correct`",
    ExitCode.INFRASTRUCTURE: "agent or verifier infrastructure: a model API, the sandbox, git",
    ExitCode.DENIED: "`optr policy explain` was asked about an act that the policy denies",
    ExitCode.TAMPERED: "the ledger was tampered with",
    ExitCode.INCOMPLETE: "the ledger is incomplete: lines, segments, checkpoints or cosignatures are missing",
    ExitCode.INTERRUPTED: "interrupted from the keyboard (Ctrl-C)",
}
