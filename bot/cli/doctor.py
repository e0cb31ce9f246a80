"""`optr doctor`: is this machine, and this App, fit to work?"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from bot.cli.options import Json, Verbose
from bot.cli.output import emit, emit_json
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from bot.doctor.finding import Finding
    from bot.settings import LocalSettings, Settings

DOCTOR_VERSION = 1
EPILOG = """Examples:

optr doctor

set -a && . ./optr.env && optr doctor --json | jq '.findings[] | select(.standing != "ok")'"""


def doctor(*, json: Json = False, verbose: Verbose = False) -> ExitCode:
    """Try what OPTR needs on this machine, and on GitHub where the App's settings are in the environment.

    Here: versions, settings, state, disk, sandbox, model keys, ledger keys, database, witnesses. There: the clock, the
    App's key, its permissions, its installations, its webhook, and whether deliveries arrive.

    Nothing is changed and no model is asked. Ends with 0 when nothing failed, with 2 when a setting is wrong, otherwise
    with 4.
    """
    del verbose  # read by `bot.cli.app.run`
    return asyncio.run(_examine(os.environ, as_json=json))


async def _examine(environ: Mapping[str, str], *, as_json: bool) -> ExitCode:
    from bot.doctor.finding import Standing, healthy  # noqa: PLC0415 - `--help` must not wait for it

    findings = []
    async for finding in _findings(environ):
        findings.append(finding)
        if not as_json:
            emit(_line(finding))
    if as_json:
        told = [
            {"name": one.name, "standing": one.standing.value, "what": one.what, "remedy": one.remedy or None}
            for one in findings
        ]
        emit_json({"version": DOCTOR_VERSION, "healthy": healthy(findings), "findings": told})
    if healthy(findings):
        return ExitCode.OK
    wrong_settings = any(one.name == "settings" and one.standing is Standing.FAILED for one in findings)
    return ExitCode.USAGE if wrong_settings else ExitCode.INFRASTRUCTURE


def _line(finding: "Finding") -> str:
    from bot.render.neutral import visible  # noqa: PLC0415

    what = visible(finding.what).replace("\n", " ")
    remedy = f"\n{'':25}what to do: {visible(finding.remedy)}" if finding.remedy else ""
    return f"{finding.standing.value:<8} {finding.name:<15} {what}{remedy}"


async def _findings(environ: Mapping[str, str]) -> AsyncIterator["Finding"]:
    from bot.doctor import machine  # noqa: PLC0415 - heavy, and of no use to other commands
    from bot.doctor.finding import failed, ok, skipped  # noqa: PLC0415
    from bot.settings import LocalSettings, Settings, SettingsError  # noqa: PLC0415

    yield machine.versions()
    is_app = any(environ.get(name) for name in ("OPTR_APP_ID", "OPTR_PRIVATE_KEY_FILE", "OPTR_WEBHOOK_SECRET"))
    settings: LocalSettings | None = None
    try:
        settings = (Settings if is_app else LocalSettings).from_environ(environ)
    except SettingsError as error:
        told = "; ".join(f"{variable}: {why}" for variable, why, _ in error.problems)
        yield failed("settings", told, "; ".join(remedy for _, _, remedy in error.problems))
    else:
        yield ok("settings", "complete for the App" if is_app else "complete for the command line; none of the App's")
    if settings is None:
        yield skipped("everything else", "it depends on the settings")
        return
    async for finding in _here(settings, environ):
        yield finding
    if isinstance(settings, Settings):
        async for finding in _there(settings):
            yield finding


async def _here(settings: "LocalSettings", environ: Mapping[str, str]) -> AsyncIterator["Finding"]:
    from bot.doctor import machine  # noqa: PLC0415
    from bot.doctor.finding import failed  # noqa: PLC0415
    from bot.doctor.witnesses import witnesses  # noqa: PLC0415
    from bot.endpoints import database_url  # noqa: PLC0415
    from bot.models_file import operator_registry  # noqa: PLC0415
    from bot.settings import Settings  # noqa: PLC0415
    from execution.problems import SetupProblem  # noqa: PLC0415

    yield machine.state_directory(settings.state)
    yield machine.disk(settings.state)
    yield await machine.sandbox(environ)
    try:
        yield machine.models(operator_registry(environ), environ)
    except SetupProblem as problem:
        yield failed("models", str(problem), "Correct the file that OPTR_MODELS_FILE names, or unset it")
    yield machine.ledger_keys(settings.state)
    if isinstance(settings, Settings):
        yield await asyncio.to_thread(machine.database, database_url(settings))
        if settings.witness_policy is not None:
            yield await asyncio.to_thread(witnesses, settings.witness_policy, settings.state)


async def _there(settings: "Settings") -> AsyncIterator["Finding"]:
    import time  # noqa: PLC0415

    import aiohttp  # noqa: PLC0415

    from bot.doctor import github  # noqa: PLC0415
    from bot.doctor.finding import failed  # noqa: PLC0415
    from bot.endpoints import github_settings  # noqa: PLC0415
    from bot.github.installations import Installations  # noqa: PLC0415
    from bot.github.tokens import AppKeyError  # noqa: PLC0415

    async with aiohttp.ClientSession() as session:
        yield await github.clock(session, settings.github_api, time.time)
        try:
            app = Installations(session, github_settings(settings), time.time, asyncio.sleep).app
        except AppKeyError as error:
            yield failed("app key", str(error), "Generate a new private key on the App's settings page")
            return
        async for finding in github.examine(app):
            yield finding
