"""The repository's configuration, `.github/optr.yml`, read from the base branch and only from there."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from execution.yamlfile import ConfigError, load_model
from governance.globs import is_plain
from governance.keeping import Capture
from governance.mandate import PATHS_MAX

CONFIG_PATH = ".github/optr.yml"
DEPENDENCIES_DIRECTORY = ".optr-deps"  # kept of what `prepare` makes, when the configuration names nothing else
KEEP_MAX = 8  # paths
REVIEWERS_MAX = 4  # each reads every admissible patch, which costs time and money

# Inside the tree: no leading slash or dash, no empty, `.` or `..` segment, nothing in a git directory.
TreePath = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_.@+][A-Za-z0-9_.@+-]*)*$", max_length=200
    ),
]
Amount = Annotated[str, StringConstraints(pattern=r"^\d{1,6}(\.\d{1,6})?$")]
Share = Annotated[str, StringConstraints(pattern=r"^(0(\.\d{1,4})?|1(\.0{1,4})?)$")]


def _require_inside(path: str) -> None:
    if any(segment.lower() in {".", "..", ".git"} for segment in path.split("/")):
        raise ValueError(f"{path!r} must stay inside the tree and out of .git")


class Part(BaseModel):
    """Immutable; an unknown key is an error, because a misspelt rule is no rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(Part):
    """A command that judges a candidate.

    Attributes:
        id: lower case name, unique.
        run: shell command line, run by `sh -c` in the repository's root, in the sandbox.
        proves: invariants that hold when it passes.
        timeout_s: seconds.
        required: whether failing makes a candidate inadmissible.
        junit: where the command writes a JUnit report, a path in the tree; read as facts, the exit code decides.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    run: str = Field(min_length=1, max_length=4000)
    proves: tuple[str, ...] = ()
    timeout_s: int = Field(default=300, ge=1, le=3600)
    required: bool = True
    junit: TreePath | None = None

    @model_validator(mode="after")
    def _inside(self) -> "Check":
        if self.junit is not None:
            _require_inside(self.junit)
        return self


class Prepare(Part):
    """What the checks need and the repository does not hold: fetched once per base commit, before any agent starts.

    Attributes:
        run: shell command line, run by `sh -c` in the root of the base's tree, in the sandbox; with the network when
            the operator allows it, offline otherwise. It never sees a candidate.
        timeout_s: seconds.
        keep: paths of the tree that it makes and every check then finds, read-only, in the same place.
    """

    run: str = Field(min_length=1, max_length=4000)
    timeout_s: int = Field(default=600, ge=1, le=3600)
    keep: tuple[TreePath, ...] = Field(default=(DEPENDENCIES_DIRECTORY,), min_length=1, max_length=KEEP_MAX)

    @model_validator(mode="after")
    def _inside(self) -> "Prepare":
        for path in self.keep:
            _require_inside(path)
        nested = [(a, b) for a in self.keep for b in self.keep if b.startswith(f"{a}/")]
        if nested or len(set(self.keep)) != len(self.keep):
            raise ValueError("keep: name each path once, and none inside another")
        return self


class Weights(Part):
    """Shares of the four terms of `balanced`, decimal strings of at most four places that sum to 1."""

    invariants: Share
    time_to_value: Share
    execution: Share
    preference: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Weights":
        if (total := sum(self.by_term().values())) != 1:
            raise ValueError(f"the four weights must sum to 1, these sum to {total}")
        return self

    def by_term(self) -> dict[str, Decimal]:
        """The weights by the terms' names."""
        return {name: Decimal(getattr(self, name)) for name in Weights.model_fields}


class Scoring(Part):
    """Which profile ranks, and the least score that may win.

    Attributes:
        profile: see docs/scoring.md.
        accept_score: the least score that may win, on the profile's own scale.
        weights: for `balanced`, instead of .4, .3, .2 and .1.
    """

    profile: Literal["balanced", "seed-v1"] = "balanced"
    accept_score: str = Field(default="0", pattern=r"^\d{1,4}(\.\d{1,4})?$")
    weights: Weights | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> "Scoring":
        if self.weights is not None and self.profile != "balanced":
            raise ValueError(f"the profile {self.profile} has no weights to set; only balanced has")
        return self


class Review(Part):
    """Who looks at the candidates before selection, and what the gate asks of humans before a merge.

    Attributes:
        approvals: distinct humans who must approve the head.
        two_person: whether the requester's own approval does not count.
        reviewers: agents with the role `reviewer` who see admissible patches, blinded, and may veto them.
        medium_risk_approvals, high_risk_approvals: the least humans for a change of that risk, see docs/gate.md.
        plan_approval: when a person must approve the plan before any agent starts; risky means: a profile asks for
            human approval, or an agent for the network.
    """

    approvals: int = Field(default=1, ge=0, le=10)
    two_person: bool = True
    reviewers: tuple[str, ...] = Field(default=(), max_length=REVIEWERS_MAX)
    medium_risk_approvals: int = Field(default=1, ge=0, le=10)
    high_risk_approvals: int = Field(default=2, ge=0, le=10)
    plan_approval: Literal["never", "risky", "always"] = "risky"

    @model_validator(mode="after")
    def _each_once(self) -> "Review":
        if len(set(self.reviewers)) != len(self.reviewers):
            raise ValueError("reviewers: name each of them once")
        return self


class Race(Part):
    """Who starts when, and when nobody else has to. By default all start together and all are judged.

    Attributes:
        at_once: agents that work at the same time; the others wait until those are judged. None: all.
        order: listed starts agents as `agents` names them; cheapest_first by their models' prices, commands first.
        enough: the score at which no further agent starts, on the profile's own scale; needs `at_once`, and no
            reviewers.
    """

    at_once: int | None = Field(default=None, ge=1, le=16)
    order: Literal["listed", "cheapest_first"] = "listed"
    enough: str | None = Field(default=None, pattern=r"^\d{1,4}(\.\d{1,4})?$")

    @model_validator(mode="after")
    def _in_waves(self) -> "Race":
        if self.at_once is None and (self.enough is not None or self.order != "listed"):
            raise ValueError(
                "order and enough need at_once: when all start together, nothing is left to order or to spare"
            )
        return self


class PatchRules(Part):
    """What a patch may be.

    Attributes:
        files_max: files in one patch.
        bytes_max: bytes of one patch.
        binary: whether binary files are allowed.
        paths: the lane of every candidate, path globs; nothing outside may be touched.
        protected: further path globs beside the built-in ones.
        protected_policy: block makes the candidate inadmissible; require_approval warns and leaves it to the gate.
    """

    files_max: int = Field(default=100, ge=1, le=3000)
    bytes_max: int = Field(default=1_048_576, ge=1, le=10_485_760)
    binary: bool = False
    paths: tuple[str, ...] = Field(default=("**",), min_length=1, max_length=PATHS_MAX)
    protected: tuple[str, ...] = ()
    protected_policy: Literal["block", "require_approval"] = "block"

    @model_validator(mode="after")
    def _plain(self) -> "PatchRules":
        if bad := [glob for glob in self.paths if not is_plain(glob)]:
            raise ValueError(f"paths: {bad[0][:80]!a} is no path glob of this repository, as src/** is")
        return self


class Budget(Part):
    """Limits on money, US dollars; they can only tighten the operator's.

    Attributes:
        run: the most that one run may cost at worst.
        day: the most that this repository may spend in 24 hours.
    """

    run: Amount | None = None
    day: Amount | None = None


class RecordRules(Part):
    """What the record of a run keeps; it can only keep less than the operator allows.

    Attributes:
        capture: full keeps texts without live secrets, redacted also without what looks like a credential, digest only
            their SHA-256 and size; see docs/record.md.
    """

    capture: Capture = Capture.REDACTED


class Config(Part):
    """`.github/optr.yml`, version 1. Every key has a default.

    Attributes:
        workflow: a file of the repository that says how a run goes (docs/workflows.md), instead of a race of `agents`.
    """

    version: Literal[1] = 1
    agents: tuple[str, ...] = ("codex", "claude")
    workflow: TreePath | None = None
    checks: tuple[Check, ...] = ()
    prepare: Prepare | None = None
    scoring: Scoring = Scoring()
    race: Race = Race()
    review: Review = Review()
    patch: PatchRules = PatchRules()
    budget: Budget = Budget()
    record: RecordRules = RecordRules()


def load_config(data: bytes | None) -> Config:
    """Read the repository's configuration; a repository without one gets the defaults.

    Raises:
        ConfigError: names file, line, key and what to write instead.
    """
    if data is None:
        return Config()
    config = load_model(data, Config, CONFIG_PATH)
    ids = [check.id for check in config.checks]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ConfigError(CONFIG_PATH, f"check id {twice[0]!r} stands twice", "Give each check its own id")
    return config
