"""`optr policy`: check the policy in force, and ask it a question, without a run."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import complain, emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from governance.policy.decide import Context, LayerAnswer, Policy

POLICY_VERSION = 1

CHECK_EPILOG = """Examples:

optr policy check

optr policy check .github/optr/policy.cedar"""

EXPLAIN_EPILOG = """Examples:

optr policy explain command Agent claude --context '{"program":"bash","line":"curl x","network":false,"count":1}'

optr policy explain approve Human ada --context '{"own_request":true,"bot":false}'"""


def check(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="A policy file, instead of the one that HEAD holds.", metavar="FILE", dir_okay=False),
    ] = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Check the policies against the questions that they will be asked, and say what is in force.

    The operator's policy (OPTR_POLICY_FILE, or the shipped one) and the repository's, .github/optr/policy.cedar as the
    commit that HEAD names holds it. Every layer must allow an act.
    """
    del verbose  # read by `bot.cli.app.run`
    policy = _policy(repo, file)
    if as_json:
        emit_json({"version": POLICY_VERSION, "digest": policy.digest, "layers": [one.origin for one in policy.layers]})
    else:
        layers = " and ".join(one.origin for one in policy.layers)
        emit(f"The policy is valid: {layers}\nDigest {policy.digest}")
    return ExitCode.OK


def explain(  # noqa: PLR0913 - each option of the command is one argument
    *,
    action: Annotated[str, typer.Argument(help="request, dispatch, command, publish or approve.", metavar="ACTION")],
    kind: Annotated[str, typer.Argument(help="Human, Agent or Orchestrator.", metavar="TYPE")],
    name: Annotated[str, typer.Argument(help="A login, an agent's name, or optr.", metavar="NAME")],
    context: Annotated[
        str, typer.Option("--context", help="The facts of the act, a JSON object; see docs/policy.md.", metavar="JSON")
    ] = "{}",
    attributes: Annotated[
        str, typer.Option("--attributes", help="An agent's type and model, a JSON object.", metavar="JSON")
    ] = "{}",
    file: Annotated[
        Path | None, typer.Option("--file", help="A policy file, instead of the one that HEAD holds.", dir_okay=False)
    ] = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Say whether an act would be allowed, and which policy of which layer says so. Ends with 5 when it would not."""
    del verbose  # read by `bot.cli.app.run`
    from governance.policy.decide import Question, answers  # noqa: PLC0415 - `--help` must not wait for it

    facts = _object(context, "--context")
    told = {key: str(value) for key, value in _object(attributes, "--attributes").items()}
    known = {"type": "command", "model": "", **told} if kind == "Agent" else {}
    found = answers(_policy(repo, file), Question((kind, name), action, str(repo), facts, known))
    allowed = all(one.allowed for one in found)
    if as_json:
        layers = [{"origin": one.origin, "allowed": one.allowed, "policies": list(one.reasons)} for one in found]
        emit_json({"version": POLICY_VERSION, "allowed": allowed, "layers": layers})
    else:
        emit(visible("\n".join([_line(one) for one in found] + ["Allowed" if allowed else "Denied"])))
    for one in found:
        for error in one.errors:
            complain(f"{one.origin}: {error}")
    return ExitCode.OK if allowed else ExitCode.DENIED


def _line(answer: "LayerAnswer") -> str:
    verb = "allows" if answer.allowed else "denies"
    return f"{answer.origin} {verb}: {', '.join(answer.reasons) or 'no policy permits it'}"


def _policy(repo: Path, file: Path | None) -> "Policy":
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it
    from execution.gitcmd import GitError  # noqa: PLC0415
    from execution.policies import load_policy, policy_at  # noqa: PLC0415
    from governance.policy.decide import POLICY_BYTES_MAX  # noqa: PLC0415

    if file is not None:
        with file.open("rb") as given:
            return load_policy(os.environ, given.read(POLICY_BYTES_MAX + 1))
    try:
        return load_policy(os.environ, policy_at(locate(repo).git_dir, "HEAD"))
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    except GitError:
        return load_policy(os.environ, None)  # no commit yet, so no policy of the repository's own


def _object(text: str, option: str) -> "Context":
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise OptrError(f"{option} is not a JSON object", where=option, remedy="""Write it like '{"bot": false}'""")
    return {key: tuple(member) if isinstance(member, list) else member for key, member in value.items()}
