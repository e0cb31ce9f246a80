"""The GitHub Copilot SDK, as little of it as an agent needs: one session, one tool of ours, one question.

https://github.com/github/copilot-sdk (Python package `copilot`, the extra `optr[copilot]`). The SDK starts GitHub's
runtime, a closed program, as a child process and speaks JSON-RPC with it. We start it in "empty" mode: in a directory
of its own, with an environment made from scratch, without its own tools, instructions, plugins or memory. Every
permission it asks for is refused but the use of our tool, which runs in our sandbox.
"""

import asyncio
import contextlib
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from execution.models.conversation import TOOL_DESCRIPTION, TOOL_NAME, TOOL_SCHEMA, CommandRequest, read_command
from execution.models.errors import ModelError, ModelErrorKind, classify
from execution.models.registry import Prices
from execution.models.workiq import StatusError
from execution.records import Usage
from execution.redaction import Secrets

NAME = "GitHub Copilot"
SDK_MODULE = "copilot"
TOKEN_VARIABLE = "COPILOT_GITHUB_TOKEN"  # noqa: S105 - a name
CREDIT_MICROUSD = 10_000  # one AI credit is one US cent
NANO = 10**9
STOP_SECONDS = 3.0
START_SECONDS = 30.0
CREDITS_MIN = 1.0
LOG_LEVEL = "none"
# What a program behind a proxy or an own certificate authority cannot do without. No secrets.
PASSED_ON = frozenset(
    {"PATH", "LANG", "TZ", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}
)

RunCommand = Callable[[CommandRequest], Awaitable[str]]
"""Runs one request of the model and says what came of it. Raises what ends the attempt."""

_KINDS = (
    ("auth", ModelErrorKind.AUTH),
    ("quota", ModelErrorKind.AUTH),
    ("rate", ModelErrorKind.RATE_LIMIT),
    ("context", ModelErrorKind.CONTEXT_EXCEEDED),
    ("policy", ModelErrorKind.REFUSAL),
)


class CreditsSpentError(Exception):
    """The runtime reports that the session's credit limit is reached."""


@dataclass(frozen=True)
class Runtime:
    """How to start it.

    Attributes:
        path: the runtime's program, found and checked by the operator; it is never downloaded here.
        token: what it authenticates with; in its environment and nowhere else.
        environ: the operator's, of which PASSED_ON is passed on.
        prices: what tokens are charged with where the runtime names no credits.
    """

    path: Path
    token: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    prices: Prices

    def environment(self, home: Path) -> dict[str, str]:
        """The runtime's whole environment."""
        kept = {name: value for name, value in self.environ.items() if name in PASSED_ON}
        own = {"HOME": str(home), "TMPDIR": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
        return {"PATH": os.defpath, **kept, **own, TOKEN_VARIABLE: self.token}


@dataclass(frozen=True)
class Brief:
    """What a session is for.

    Attributes:
        system: the system prompt.
        cost_microusd: what it may cost, millionths of a US dollar.
        run: runs what the model asks for.
        charge: told of every call's usage. Raises what ends the attempt.
    """

    system: str
    cost_microusd: int
    run: RunCommand
    charge: Callable[[Usage], None]


@asynccontextmanager
async def open_session(runtime: Runtime, brief: Brief) -> AsyncIterator["CopilotSession"]:
    """Start the runtime and a session in it; leaving the context ends both and removes what they wrote.

    Raises:
        ModelError: the runtime does not start, or refuses the session.
    """
    sdk: Any = await asyncio.to_thread(import_module, SDK_MODULE)
    # The SDK logs what its child writes to standard error, which nobody has checked for secrets.
    logging.getLogger(SDK_MODULE).setLevel(logging.CRITICAL + 1)
    with tempfile.TemporaryDirectory(prefix="optr-copilot-", ignore_cleanup_errors=True) as name:
        made = CopilotSession(runtime, brief)
        client = sdk.CopilotClient(
            connection=sdk.RuntimeConnection.for_stdio(path=str(runtime.path)),
            mode="empty",
            base_directory=name,
            working_directory=name,
            env=runtime.environment(Path(name)),
            use_logged_in_user=False,
            log_level=LOG_LEVEL,
        )
        children = _remembered(client)
        try:
            async with made.explaining():
                async with asyncio.timeout(START_SECONDS):
                    await client.start()
                    await made.begin(client, sdk)
            yield made
        finally:
            await _stop(client, children)


class CopilotSession:
    """One session; `ask` is called once."""

    def __init__(self, runtime: Runtime, brief: Brief) -> None:
        self._runtime = runtime
        self._brief = brief
        self._secrets = Secrets([runtime.token])
        self._session: Any = None
        self._turn = asyncio.Lock()  # the runtime may call the tool several times at once
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._trouble: Any = None

    async def begin(self, client: Any, sdk: Any) -> None:
        """Create the session."""
        rpc = import_module(f"{SDK_MODULE}.rpc")
        tool = sdk.Tool(
            name=TOOL_NAME,
            description=TOOL_DESCRIPTION,
            handler=lambda invocation: self._tool(invocation, sdk),
            parameters=TOOL_SCHEMA,
            overrides_built_in_tool=True,
            defer="never",
        )
        self._session = await client.create_session(
            tools=[tool],
            available_tools=[f"custom:{TOOL_NAME}"],
            on_permission_request=lambda request, _: _permission(request, rpc),
            system_message={"mode": "replace", "content": self._brief.system},
            session_limits={"max_ai_credits": max(CREDITS_MIN, self._brief.cost_microusd / CREDIT_MICROUSD)},
            on_event=self._on_event,
            streaming=False,
            enable_config_discovery=False,
        )

    async def ask(self, text: str, seconds: float) -> str:
        """Let the model work on `text` until it is done; its last words.

        Raises:
            ModelError: it failed.
            Exception: whatever `run` and `charge` raised.
        """
        asking = asyncio.ensure_future(self._session.send_and_wait(text, timeout=seconds))
        try:
            await asyncio.wait({asking, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                self._ended.result()
            async with self.explaining():
                event = await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            self._ended.cancel()
        content = getattr(getattr(event, "data", None), "content", "")
        return self._secrets.redact(content if isinstance(content, str) else "")

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator[None]:
        """Turn whatever the SDK raises into a ModelError without secrets in it."""
        try:
            yield
        except ModelError:
            raise
        except TimeoutError:
            raise ModelError(ModelErrorKind.TIMEOUT, NAME) from None
        except Exception as error:  # noqa: BLE001 - the SDK raises bare exceptions by design
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> ModelError:
        trouble = self._trouble
        detail = self._secrets.redact(str(getattr(trouble, "message", "") or error))
        if (status := getattr(trouble, "status_code", None)) is not None:
            return classify(StatusError(status, {"message": detail}), NAME, Usage(calls=1))
        word = str(getattr(trouble, "error_type", "")).lower()
        kind = next((kind for mark, kind in _KINDS if mark in word), None)
        if kind is None:
            kind = ModelErrorKind.BAD_OUTPUT if trouble is not None else ModelErrorKind.UNREACHABLE
        return ModelError(kind, NAME, detail)

    async def _tool(self, invocation: Any, sdk: Any) -> Any:
        """The SDK's way to our sandbox. What must end the attempt may not be told to the model as a tool's failure."""
        try:
            async with self._turn:
                if self._ended.done():
                    return sdk.ToolResult(text_result_for_llm="Not run.", result_type="rejected")
                text = await self._brief.run(self._request(invocation))
        except Exception as error:  # noqa: BLE001 - raised again where the attempt waits
            self._end(error)
            return sdk.ToolResult(text_result_for_llm="Not run: the attempt is over.", result_type="rejected")
        return sdk.ToolResult(text_result_for_llm=text)

    def _request(self, invocation: Any) -> CommandRequest:
        arguments = json.dumps(invocation.arguments, default=str)
        if self._secrets.found_in(arguments.encode()):
            return CommandRequest(id=invocation.tool_call_id, problem="the command holds a credential")
        return read_command(invocation.tool_call_id, invocation.tool_name, arguments)

    def _on_event(self, event: Any) -> None:
        kind = str(getattr(event.type, "value", event.type))
        if kind == "session.error":
            self._trouble = event.data
        elif kind == "session_limits_exhausted.requested":
            self._end(CreditsSpentError(f"{event.data.used_ai_credits:g} of {event.data.max_ai_credits:g} AI credits"))
        elif kind == "assistant.usage":
            try:
                self._brief.charge(usage_of(event.data, self._runtime.prices))
            except Exception as error:  # noqa: BLE001 - raised again where the attempt waits
                self._end(error)

    def _end(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


def usage_of(data: Any, prices: Prices) -> Usage:
    """One call's usage; its price in the runtime's own credits, or at the dearest rates where it names none."""
    read, written = data.cache_read_tokens or 0, data.cache_write_tokens or 0
    whole = data.input_tokens or 0
    usage = Usage(
        fresh=max(0, whole - read - written),
        cached=read,
        cache_write=written,
        output=data.output_tokens or 0,
        calls=1,
    )
    nano = getattr(data.copilot_usage, "total_nano_aiu", None)
    cost = prices.cost_microusd(usage) if nano is None else -int(-nano * CREDIT_MICROUSD // NANO)
    return usage.model_copy(update={"cost_microusd": max(0, cost)})


def _permission(request: Any, rpc: Any) -> Any:
    if getattr(request, "kind", "") == "custom-tool" and getattr(request, "tool_name", "") == TOOL_NAME:
        return rpc.PermissionDecisionApproveOnce()
    return rpc.PermissionDecisionReject(feedback=f"Not allowed here; the only tool is {TOOL_NAME}.")


def _remembered(client: Any) -> list[Any]:
    """The client's child process once there is one: the SDK forgets it, with open pipes, when its greeting fails."""
    children: list[Any] = []
    spawn = client._start_cli_server  # noqa: SLF001 - the SDK offers no other way to its child

    async def start() -> None:
        try:
            await spawn()
        finally:
            children.append(client._cli_process)  # noqa: SLF001

    client._start_cli_server = start  # noqa: SLF001
    return children


async def _stop(client: Any, children: list[Any]) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await client.stop()
    except Exception:  # noqa: BLE001 - whatever it is, the runtime has to go
        with contextlib.suppress(Exception):
            await client.force_stop()
    finally:
        # Without an await: a cancellation that arrives while the SDK says goodbye must not leave its child behind.
        for process in filter(None, {*children, client._cli_process}):  # noqa: SLF001
            _end(process)


def _end(process: Any) -> None:
    process.kill()  # does nothing to one that has ended
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            pipe.close()
