"""Errors for people: what, where, why, and what to do."""

from bot.exit_codes import ExitCode


class OptrError(Exception):
    """Something that the reader can act on.

    Attributes:
        what: one sentence: what went wrong.
        why: one sentence: the reason, when it is not obvious.
        remedy: one sentence: what to do now.
        where: a file, variable, option or URL; empty when there is none.
        code: the exit status of a command that ends with it.
    """

    def __init__(
        self, what: str, *, why: str = "", remedy: str = "", where: str = "", code: ExitCode = ExitCode.USAGE
    ) -> None:
        super().__init__(". ".join(part for part in (what, why, remedy) if part))
        self.what = what
        self.why = why
        self.remedy = remedy
        self.where = where
        self.code = code

    def lines(self) -> list[str]:
        """The message for a terminal, one fact per line."""
        facts = (("where", self.where), ("why", self.why), ("what to do", self.remedy))
        return [f"error: {self.what}", *(f"  {label}: {fact}" for label, fact in facts if fact)]
