"""`optr new-agent`: a profile to start from."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.options import Repo, Verbose
from bot.cli.output import emit, say
from bot.cli.scaffold import repository, write_new
from bot.errors import OptrError
from bot.exit_codes import ExitCode

DIRECTORY = ".github/agents"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")

EPILOG = """Examples:

optr new-agent tidy --type command

optr new-agent strict --type anthropic-claude --repo ~/src/thing"""


class Kind(StrEnum):
    """Types that a profile can be made for: those that need no account of another product."""

    COMMAND = "command"
    OPENAI_CODEX = "openai-codex"
    ANTHROPIC_CLAUDE = "anthropic-claude"


_MODELS = {Kind.OPENAI_CODEX: "gpt-6.1-sol", Kind.ANTHROPIC_CLAUDE: "claude-opus-5-5"}

_COMMAND = """\
# The program and its arguments. It runs in the sandbox, in the workspace, with the request on standard input;
# {{workspace}} is that directory, {{intent_file}} a file with the request. What it changes is its patch.
command: [python3, "{{workspace}}/tools/{name}.py"]
# Variables of the operator's environment and the network are granted by the operator alone: OPTR_AGENT_ENV names the
# variables, OPTR_AGENT_NETWORK=1 allows the network.
# env: [SOME_API_KEY]
# network: true
"""
_MODEL = """\
# An id of the operator's models; the shipped ones and those of OPTR_MODELS_FILE.
model: {model}
"""
_PROFILE = """\
---
# An agent of this repository. OPTR reads profiles from the default branch only. A misspelt key is an error.
name: {name}
type: {kind}
{how}\
# candidate: writes a patch, when named under `agents` in .github/optr.yml. reviewer: judges the patches of others,
# without knowing whose they are, when named under `review.reviewers`; for types with a model only.
roles: [candidate]
# What it is good at. Known tasks are code, workflow, compliance, review and release; the first is its main one.
capabilities: [code]
# auto, human_approval or deny, for repo.read, repo.write and test.run. `repo.write: deny` leaves it a reviewer at most.
approval_policy:
  repo.write: auto
# Each limit ends an attempt. Money is in millionths of a US dollar.
limits:
  wall_seconds: {wall:.0f}
  steps: {steps}
  tokens: {tokens}
  cost_microusd: {cost}
---
{body}
"""
_BODY = {
    Kind.COMMAND: "What people should know about this agent. A command is not shown this text.",
    Kind.OPENAI_CODEX: "Prefer the smallest change that removes the cause. Add a regression test.",
    Kind.ANTHROPIC_CLAUDE: "Understand before you change: find the cause, and fix it where it belongs.",
}


def new_agent(
    *,
    name: Annotated[
        str, typer.Argument(help="The agent's name: a-z, 0-9 and hyphens, a letter first.", metavar="NAME")
    ],
    kind: Annotated[
        Kind, typer.Option("--type", help=f"What it is: {', '.join(Kind)}.", metavar="TYPE")
    ] = Kind.COMMAND,
    repo: Repo = Path(),
    verbose: Verbose = False,
) -> ExitCode:
    """Write a profile for a new agent, .github/agents/NAME.agent.md, with comments.

    It takes part once the file is on the default branch and `.github/optr.yml` names the agent. An existing file is
    left as it is.
    """
    del verbose  # read by `bot.cli.app.run`
    if not _NAME.fullmatch(name):
        why = "names have 1 to 32 of a-z, 0-9 and hyphen, a letter first"
        raise OptrError(f"{ascii(name)[:60]} is not an agent's name", why=why, remedy="Try something like tidy-imports")
    path = write_new(repository(repo).top, f"{DIRECTORY}/{name}.agent.md", profile_text(name, kind))
    emit(str(path))
    say(f"edit it, commit it, and add {name} to `agents` in .github/optr.yml")
    return ExitCode.OK


def profile_text(name: str, kind: Kind) -> str:
    """The profile's text; it passes the same reader as every profile."""
    from execution.records import Limits  # noqa: PLC0415 - `--help` must not wait for it

    limits = Limits()
    how = _COMMAND.format(name=name) if kind is Kind.COMMAND else _MODEL.format(model=_MODELS[kind])
    return _PROFILE.format(
        name=name,
        kind=kind,
        how=how,
        wall=limits.wall_seconds,
        steps=limits.steps,
        tokens=limits.tokens,
        cost=limits.cost_microusd,
        body=_BODY[kind],
    )
