"""The repository's configuration, `.github/optr.yml`, read from the base branch and only from there."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from execution.yamlfile import ConfigError, load_model

CONFIG_PATH = ".github/optr.yml"


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
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    run: str = Field(min_length=1, max_length=4000)
    proves: tuple[str, ...] = ()
    timeout_s: int = Field(default=300, ge=1, le=3600)
    required: bool = True


class Scoring(Part):
    """Which profile ranks, and the least score that may win."""

    profile: Literal["balanced", "seed-v1"] = "balanced"
    accept_score: str = Field(default="0", pattern=r"^\d{1,4}(\.\d{1,4})?$")


class Review(Part):
    """What the gate asks of humans before a merge.

    Attributes:
        approvals: distinct humans who must approve the head.
        two_person: whether the requester's own approval does not count.
    """

    approvals: int = Field(default=1, ge=0, le=10)
    two_person: bool = True


class PatchRules(Part):
    """What a patch may be.

    Attributes:
        files_max: files in one patch.
        bytes_max: bytes of one patch.
        binary: whether binary files are allowed.
        protected: further path globs beside the built-in ones.
        protected_policy: block makes the candidate inadmissible; require_approval warns and leaves it to the gate.
    """

    files_max: int = Field(default=100, ge=1, le=3000)
    bytes_max: int = Field(default=1_048_576, ge=1, le=10_485_760)
    binary: bool = False
    protected: tuple[str, ...] = ()
    protected_policy: Literal["block", "require_approval"] = "block"


class Config(Part):
    """`.github/optr.yml`, version 1. Every key has a default."""

    version: Literal[1] = 1
    agents: tuple[str, ...] = ("codex", "claude")
    checks: tuple[Check, ...] = ()
    scoring: Scoring = Scoring()
    review: Review = Review()
    patch: PatchRules = PatchRules()


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
