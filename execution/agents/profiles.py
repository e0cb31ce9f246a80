"""Profiles: `<name>.agent.md`, YAML front matter over instructions in Markdown.

The shipped starters are overlaid by `.github/agents/*.agent.md` of the base commit. A profile is the repository's word:
it may choose a model of the operator's registry and ask for environment variables or network; whether it gets them is
the operator's decision (see build).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from execution.records import Limits
from execution.yamlfile import ConfigError, load_model
from governance.graph import Capability

PROFILE_SUFFIX = ".agent.md"
PROFILE_DIRECTORY = ".github/agents/"
PROFILE_BYTES_MAX = 65_536
FENCE_LINE = "---"
_PROFILE_PATH = re.compile(r"\.github/agents/[^/]+\.agent\.md")

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Argument = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class AgentType(StrEnum):
    """Kinds of agent, the words of workflow files and results (F1.20, and `command`)."""

    OPENAI_CODEX = "openai-codex"
    ANTHROPIC_CLAUDE = "anthropic-claude"
    GITHUB_COPILOT = "github-copilot"
    MS_COPILOT_STRIDE = "ms-copilot-stride"
    COMMAND = "command"


MODEL_TYPES = frozenset({AgentType.OPENAI_CODEX, AgentType.ANTHROPIC_CLAUDE})


class Role(StrEnum):
    """What an agent does in a run."""

    CANDIDATE = "candidate"
    REVIEWER = "reviewer"


class Approval(StrEnum):
    """What a profile says of a capability (F4.10)."""

    AUTO = "auto"
    HUMAN_APPROVAL = "human_approval"
    DENY = "deny"


class LimitsPart(BaseModel):
    """Those of records.Limits that a profile sets, each within what a repository may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_seconds: float | None = Field(default=None, gt=0, le=21_600, allow_inf_nan=False)
    steps: int | None = Field(default=None, ge=1, le=500)
    tokens: int | None = Field(default=None, ge=1, le=20_000_000)
    cost_microusd: int | None = Field(default=None, ge=1, le=50_000_000)
    command_seconds: float | None = Field(default=None, gt=0, le=3_600, allow_inf_nan=False)
    output_bytes: int | None = Field(default=None, ge=500, le=200_000)

    def over(self, defaults: Limits) -> Limits:
        """`defaults` with what this part sets."""
        return defaults.model_copy(update=self.model_dump(exclude_none=True))


class Profile(BaseModel):
    """One agent.

    Attributes:
        name: unique, equal to the file's name before `.agent.md`.
        type: see AgentType.
        model: registry id; model types only, and required there.
        roles: what it may do; the first is its main one.
        approval_policy: what it says of single capabilities; those not named are `auto`. `deny` of `repo.write` leaves
            it a reviewer at most.
        capabilities: what it is good at, matched against the intent for its fit.
        limits: see LimitsPart.
        command: argv template, `command` only; `{workspace}` and `{intent_file}` are filled in.
        env: variables it asks of the operator's environment, `command` only.
        network: whether it asks for network, `command` only.
        instructions: the file's body, added to the system prompt of model agents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    type: AgentType
    model: str | None = Field(default=None, min_length=1, max_length=64)
    roles: tuple[Role, ...] = Field(default=(Role.CANDIDATE,), min_length=1, max_length=2)
    capabilities: tuple[Word, ...] = Field(default=(), max_length=32)
    approval_policy: dict[Capability, Approval] = Field(default_factory=dict)
    limits: LimitsPart = LimitsPart()
    command: tuple[Argument, ...] = Field(default=(), max_length=64)
    env: tuple[EnvName, ...] = Field(default=(), max_length=16)
    network: bool = False
    instructions: str = Field(default="", max_length=20_000)

    @model_validator(mode="after")
    def _fits_type(self) -> "Profile":
        if self.type in MODEL_TYPES and self.model is None:
            raise ValueError(f"type {self.type} needs 'model', an id of the models registry")
        if self.type not in MODEL_TYPES and self.model is not None:
            raise ValueError(f"type {self.type} takes no 'model'")
        if self.type is AgentType.COMMAND and not self.command:
            raise ValueError("type command needs 'command', a list: the program and its arguments")
        if self.type is not AgentType.COMMAND and (self.command or self.env or self.network):
            raise ValueError("'command', 'env' and 'network' are for type command only")
        return self

    @model_validator(mode="after")
    def _fits_policy(self) -> "Profile":
        if self.approval(Capability.READ) is Approval.DENY:
            raise ValueError("approval_policy: without repo.read an agent can do nothing; leave it out of the line-up")
        if self.approval(Capability.TEST) is Approval.DENY and self.may_compete:
            raise ValueError("approval_policy: test.run cannot be denied to a candidate, whose tool is a shell")
        if not (self.may_compete or self.may_review):
            raise ValueError("approval_policy: denies repo.write, so roles must hold reviewer")
        return self

    def approval(self, capability: Capability) -> Approval:
        """What the policy says of a capability."""
        return self.approval_policy.get(capability, Approval.AUTO)

    @property
    def may_compete(self) -> bool:
        """Whether it may write a candidate."""
        return Role.CANDIDATE in self.roles and self.approval(Capability.WRITE) is not Approval.DENY

    @property
    def may_review(self) -> bool:
        """Whether it may judge the candidates of others."""
        return Role.REVIEWER in self.roles


def parse_profile(data: bytes, path: str) -> Profile:
    """Read one `agent.md`.

    Args:
        data: the file's bytes, at most PROFILE_BYTES_MAX.
        path: the name that errors show; its last part must be `<name>.agent.md`.

    Raises:
        ConfigError: `path:line:column: problem. remedy`.
    """
    if len(data) > PROFILE_BYTES_MAX:
        raise ConfigError(f"{path}:1:1", f"the file has {len(data)} bytes", f"Keep it under {PROFILE_BYTES_MAX}")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1:1", f"byte {error.start} is not UTF-8", "Save the file as UTF-8") from None
    end = _front_matter_end(lines, path)
    front = "\n".join(lines[1:end]).encode()
    body = "\n".join(lines[end + 1 :]).strip()
    profile = load_model(front, _with_body(body), path, first_line=2)
    expected = path.rsplit("/", 1)[-1].removesuffix(PROFILE_SUFFIX)
    if profile.name != expected:
        raise ConfigError(f"{path}:2:1", f"name {profile.name!r} differs from the file's", f"Write `name: {expected}`")
    return Profile.model_validate(profile.model_dump())


def load_profiles(repository_files: Mapping[str, bytes]) -> dict[str, Profile]:
    """The starters, overlaid by the repository's profiles.

    Args:
        repository_files: path to bytes, of the base commit; other paths than `.github/agents/*.agent.md` are ignored.

    Returns:
        Profiles by name, sorted.

    Raises:
        ConfigError: a profile is wrong.
    """
    profiles = starter_profiles()
    for path in sorted(repository_files):
        if _PROFILE_PATH.fullmatch(path):
            profile = parse_profile(repository_files[path], path)
            profiles[profile.name] = profile
    return dict(sorted(profiles.items()))


def starter_profiles() -> dict[str, Profile]:
    """The profiles that ship, by name."""
    shipped = files("execution.agents").joinpath("starters")
    found = [item for item in shipped.iterdir() if item.name.endswith(PROFILE_SUFFIX)]
    profiles = [parse_profile(item.read_bytes(), item.name) for item in found]
    return {profile.name: profile for profile in sorted(profiles, key=lambda profile: profile.name)}


def _front_matter_end(lines: list[str], path: str) -> int:
    if not lines or lines[0].rstrip() != FENCE_LINE:
        raise ConfigError(f"{path}:1:1", "the file must begin with front matter", f"Write `{FENCE_LINE}` on line 1")
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() == FENCE_LINE:
            return index
    raise ConfigError(f"{path}:{len(lines)}:1", "the front matter does not end", f"Write `{FENCE_LINE}` after the keys")


def _with_body(body: str) -> type[Profile]:
    """Profile, with the body in place: it is no key that the front matter may set."""

    class FrontMatter(Profile):
        @model_validator(mode="before")
        @classmethod
        def _body(cls, plain: Any) -> Any:
            if isinstance(plain, dict) and "instructions" not in plain:
                return {**plain, "instructions": body}
            raise ValueError("'instructions' is the text below the front matter, not a key; move it there")

    return FrontMatter
