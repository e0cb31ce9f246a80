"""Choosing the sandbox by trying it: what a machine claims and what it allows are two things."""

import sys
import tempfile
from pathlib import Path

from execution.ports import Sandbox
from execution.records import Command, CommandLimits
from execution.sandbox import SandboxError
from execution.sandbox.bubblewrap import Bubblewrap
from execution.sandbox.identity import hand_over
from execution.sandbox.landlock import Landlock

PROBE_SECONDS_MAX = 10.0
PASS_THROUGH = 0o711

_ADVICE = (
    "OPTR runs no agent and no check without a sandbox. Install bubblewrap 0.8 or newer (`apt-get install bubblewrap`, "
    "`dnf install bubblewrap`) and let it make user namespaces (in a container: a seccomp profile that allows them), "
    "or use a Linux kernel of 5.13 or newer with Landlock enabled."
)


async def tried(sandbox: Sandbox) -> Sandbox:
    """The sandbox that the operator named, once it is shown to work.

    Raises:
        SandboxError: it does not; says why.
    """
    try:
        await probe(sandbox)
    except SandboxError as error:
        raise SandboxError(f"the sandbox {sandbox.name!r} does not work here: {error}") from None
    return sandbox


async def choose_sandbox(preference: str | None = None) -> Sandbox:
    """The best sandbox that really works here: bubblewrap, else Landlock, never none.

    Args:
        preference: "bubblewrap" or "landlock" to accept only that one; None for the best.

    Raises:
        SandboxError: nothing works, or the preferred one does not; says why each failed and what to install.
    """
    backends: dict[str, Sandbox] = {"bubblewrap": Bubblewrap(), "landlock": Landlock()}
    if preference is not None and preference not in backends:
        raise SandboxError(f"there is no sandbox named {preference!r}; choose {' or '.join(backends)}")
    if sys.platform != "linux":
        raise SandboxError(
            f"OPTR's sandboxes need Linux, this is {sys.platform}. Run OPTR in a Linux container or machine."
        )
    reasons = []
    for name in backends if preference is None else [preference]:
        try:
            await probe(backends[name])
        except SandboxError as error:
            reasons.append(f"{name}: {error}")
        else:
            return backends[name]
    raise SandboxError(f"no sandbox works here ({'; '.join(reasons)}). {_ADVICE}")


async def probe(sandbox: Sandbox) -> None:
    """Run `true` in it.

    Raises:
        SandboxError: it did not start, or `true` was not true.
    """
    with tempfile.TemporaryDirectory(prefix="optr-probe-") as name:
        workspace = _workspace(Path(name))
        limits = CommandLimits(wall_seconds=PROBE_SECONDS_MAX)
        result = await sandbox.run(Command(argv=("true",), workspace=workspace, limits=limits))
    if result.exit_code != 0:
        words = result.output.decode(errors="replace").strip()[:300]
        raise SandboxError(f"`true` ended with {result.exit_code}: {words}")


def _workspace(root: Path) -> Path:
    root.chmod(PASS_THROUGH)
    workspace = root / "workspace"
    workspace.mkdir()
    hand_over(workspace)
    return workspace
