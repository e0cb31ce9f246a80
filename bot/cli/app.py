"""The commands of `optr`, and the one place where exceptions become exit statuses."""

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from typer.main import get_command

from bot.cli import (
    adopt_ledgers,
    correct,
    demo,
    doctor,
    execute,
    forget,
    init,
    keys,
    ledger,
    new_agent,
    policy,
    rebuild_ledger,
    report,
    score,
    serve,
    trust,
    verify_ledger,
    witness,
    workflow,
)
from bot.cli.output import complain, emit
from bot.exit_codes import ExitCode

EPILOG = """Examples:

optr demo

optr execute --workflow fix-parser --intent "Accept empty input"

optr verify-ledger --repo ."""


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        emit(f"optr {installed_version('optr')}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Agents compete for a change, one wins, the record proves it."""


def build() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        name="optr",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 120},
    )
    app.callback(epilog=EPILOG)(_root)
    app.command(epilog=demo.EPILOG)(demo.demo)
    app.command(epilog=init.EPILOG)(init.init)
    app.command("new-agent", epilog=new_agent.EPILOG)(new_agent.new_agent)
    app.command(epilog=execute.EPILOG)(execute.execute)
    app.command(epilog=correct.EPILOG)(correct.correct)
    app.command(epilog=score.EPILOG)(score.score)
    app.command("verify-ledger", epilog=verify_ledger.EPILOG)(verify_ledger.verify_ledger)
    app.command("rebuild-ledger", epilog=rebuild_ledger.EPILOG)(rebuild_ledger.rebuild_ledger)
    app.command(epilog=serve.EPILOG)(serve.serve)
    app.command("adopt-ledgers", epilog=adopt_ledgers.EPILOG)(adopt_ledgers.adopt_ledgers)
    app.command(epilog=forget.EPILOG)(forget.forget)
    app.command(epilog=doctor.EPILOG)(doctor.doctor)
    app.command(epilog=report.EPILOG)(report.report)
    for group in _groups():
        app.add_typer(group)
    return app


def _groups() -> Iterator[typer.Typer]:
    yield _group(
        "ledger",
        "Look at the record, prove an entry, hand evidence over, replay a run, rotate the key.",
        (ledger.show, ledger.SHOW_EPILOG),
        (ledger.prove, ledger.PROVE_EPILOG),
        (ledger.export, ledger.EXPORT_EPILOG),
        (ledger.replay, ledger.REPLAY_EPILOG),
        (keys.keys, keys.KEYS_EPILOG),
        (keys.rotate_key, keys.ROTATE_EPILOG),
    )
    yield _group(
        "workflow",
        "Check and draw workflow files.",
        (workflow.check, workflow.CHECK_EPILOG),
        (workflow.draw, workflow.DRAW_EPILOG),
    )
    yield _group(
        "trust",
        "Show, check and take back who may act, on whose word.",
        (trust.show, trust.SHOW_EPILOG),
        (trust.verify, trust.VERIFY_EPILOG),
        (trust.revoke, trust.REVOKE_EPILOG),
    )
    yield _group(
        "policy",
        "Check the policy in force, and ask it a question.",
        (policy.check, policy.CHECK_EPILOG),
        (policy.explain, policy.EXPLAIN_EPILOG),
    )
    yield _group(
        "witness",
        "Vouch for ledgers that somebody else runs, or have your own vouched for.",
        (witness.serve, witness.SERVE_EPILOG),
        (witness.collect, witness.COLLECT_EPILOG),
    )


def _group(name: str, about: str, *commands: tuple[Callable[..., ExitCode], str]) -> typer.Typer:
    """Commands that share a first word; each is called as its function is, with its epilog."""
    group = typer.Typer(name=name, no_args_is_help=True, help=about, rich_markup_mode="markdown")
    for command, epilog in commands:
        group.command(epilog=epilog)(command)
    return group


def run(argv: Sequence[str]) -> int:
    """Run `optr` with these arguments and return the exit status; never raises for a person's mistake."""
    try:
        code = get_command(build()).main(args=list(argv), prog_name="optr", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost frame: whatever it is, the person gets a message
        return _fail(error, verbose="--verbose" in argv)
    return code if isinstance(code, int) else ExitCode.OK


def _fail(error: Exception, *, verbose: bool) -> int:
    from typer.exceptions import TyperException  # noqa: PLC0415 - only errors pay for what follows

    if isinstance(error, TyperException):
        return _usage(error)
    from bot.cli.errors import as_optr_error, message  # noqa: PLC0415

    complain(message(error, verbose=verbose))
    return as_optr_error(error).code


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "optr"
    text = getattr(error, "format_message", error.__str__)()
    complain(text if not text or "Usage:" in text else f"error: {text}\n  what to do: see `{command} --help`")
    return ExitCode.USAGE
