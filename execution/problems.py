"""Why a run cannot go on, by whose fault it is and what to do about it."""

from governance.states import RunOutcome


class RunProblem(Exception):  # noqa: N818 - a problem is an outcome that people read, not a fault of the program
    """The run ends here, and the record says why.

    Attributes:
        outcome: how the run closes.
        code: a reason code.
        where: the file, branch or option it is about; empty when the text or the code says it.
        remedy: what to do here; empty when the code's own advice is enough.
    """

    def __init__(
        self,
        text: str,
        *,
        outcome: RunOutcome = RunOutcome.FAILED,
        code: str = "RUN_FAILED",
        where: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.code = code
        self.where = where
        self.remedy = remedy


class SetupProblem(RunProblem):
    """Configuration, keys or the repository's state are in the way; a person can mend it."""


class InfrastructureProblem(RunProblem):
    """The sandbox, the verifier or a service of ours failed; no agent is to blame."""
