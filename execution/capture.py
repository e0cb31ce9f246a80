"""How a run's files and lines are written under its capture policy; what each policy keeps is in `governance.keeping`.

The repository asks (`record.capture` of its configuration on the base branch), the operator bounds (`OPTR_CAPTURE`):
what keeps less applies. Values of live secrets are taken out under every policy.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from execution.problems import SetupProblem
from execution.redaction import Secrets
from governance.codes import ReasonCode
from governance.keeping import Capture, digested, instead, least

CAPTURE_VARIABLE = "OPTR_CAPTURE"

# The places of each file whose strings OPTR's own code or the repository's configuration wrote; see `digested`.
INTENT = ("workflow", "intent_sha256", "constraints", "base_commit", "config_digest", "requester")
AGENT_OUTPUT = (
    *("version", "agent", "agentName", "type", "model", "node", "verdict", "invariants", "hash", "inputs.*"),
    *("output.outcome", "output.type", "output.status", "output.usage.*", "output.trajectory.exit_code"),
    *("output.facts.name", "output.recentCommits.sha", "output.latestCommit.sha", "output.workflowSteps.status"),
    *("violations.code", "violations.0", "warnings.code", "diff.added", "cross.*"),
    *("checks.id", "checks.form", "checks.outcome", "checks.proves", "checks.report.*"),
    "patch.notKept.sha256",
)
REVIEW = (
    *("reviewer", "model", "node", "verdict", "aliases.*", "votes.alias", "votes.agent", "votes.patch", "votes.vote"),
    *("votes.noVote", "votes.estimatedComplexity", "votes.usage.*"),
)
SELECTION = (
    *("profile", "profile_digest", "winner", "why"),
    *("ranking.agent", "ranking.score", "ranking.terms.*", "ranking.why_not.code"),
)
CORRECTION = (
    *("id", "run", "node", "type", "violations.0", "scope", "attempts.*", "supersedes.*", "aggregate", "by", "request"),
)


def allowed(environ: Mapping[str, str]) -> Capture:
    """The most that the operator lets a record keep.

    Raises:
        SetupProblem: the variable holds no such word.
    """
    told = environ.get(CAPTURE_VARIABLE, "").strip() or Capture.REDACTED
    try:
        return Capture(told)
    except ValueError:
        raise SetupProblem(
            f"{CAPTURE_VARIABLE} is {told[:40]!r}, which is no capture policy",
            code=str(ReasonCode.CONFIG_INVALID),
            where=CAPTURE_VARIABLE,
            remedy=f"Give one of: {', '.join(Capture)}",
        ) from None


def settled(asked: Capture, environ: Mapping[str, str]) -> tuple[Capture, tuple[str, ...]]:
    """The policy of a run, and a warning when the repository asked to keep more than the operator allows."""
    bound = allowed(environ)
    applied = least(asked, bound)
    if applied is asked or asked is Capture.REDACTED:  # the default is no wish that anybody would miss
        return applied, ()
    return applied, (f"The record keeps `{applied}` and not `{asked}`: the operator allows no more",)


@dataclass(frozen=True)
class Keeping:
    """Writes what one run's record holds."""

    capture: Capture
    secrets: Secrets

    def page(self, text: str) -> bytes:
        """A page that OPTR wrote."""
        return self._clean(text).encode()

    def file(self, value: object, ours: Iterable[str] | None = None) -> bytes:
        """JSON, indented; `ours`: the places of our own words, None when there are no others."""
        if self.capture is Capture.DIGEST and ours is not None:
            value = digested(_without(value, self.secrets), ours)
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
        return self._clean(text).encode("utf-8", "replace") + b"\n"

    def part(self, value: object, ours: Iterable[str]) -> object:
        """An object inside a file that otherwise holds our own words only."""
        return digested(_without(value, self.secrets), ours) if self.capture is Capture.DIGEST else value

    def words(self, text: str) -> object:
        """A person's or a tool's words as a member of a ledger line."""
        clean = self._clean(text)
        return instead(clean.encode("utf-8", "replace")) if self.capture is Capture.DIGEST and clean else clean

    def patch(self, patch: bytes) -> bytes:
        """The patch; empty when it is not kept, because it holds a live secret or only digests are kept."""
        return b"" if self.capture is Capture.DIGEST or self.secrets.found_in(patch) else patch

    def _clean(self, text: str) -> str:
        return self.secrets.remove(text) if self.capture is Capture.FULL else self.secrets.redact(text)


def _without(value: object, secrets: Secrets) -> object:
    """The value with live secrets taken out of each string, so that a digest does not speak for one."""
    if isinstance(value, str):
        return secrets.remove(value)
    if isinstance(value, Mapping):
        return {name: _without(member, secrets) for name, member in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list | tuple) else value
