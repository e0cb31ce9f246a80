"""The sandbox that the operator's environment asks for."""

from collections.abc import Mapping

from bot.settings_table import ContainerEngine, SandboxChoice
from execution.ports import Sandbox
from execution.sandbox import SandboxError
from execution.sandbox.container import Container
from execution.sandbox.probe import choose_sandbox, tried
from execution.sandbox.unconfined import Unconfined

SANDBOX_VARIABLE = "OPTR_SANDBOX"
IMAGE_VARIABLE = "OPTR_SANDBOX_IMAGE"
ENGINE_VARIABLE = "OPTR_CONTAINER_ENGINE"


def remedy(environ: Mapping[str, str]) -> str:
    """What to do when it does not work."""
    if environ.get(SANDBOX_VARIABLE, "").strip() in {"", SandboxChoice.AUTO, SandboxChoice.BUBBLEWRAP}:
        return "Install bubblewrap and let it make user namespaces"
    return f"Mend what the sandbox needs, or unset {SANDBOX_VARIABLE} to take bubblewrap or Landlock"


async def operator_sandbox(environ: Mapping[str, str]) -> Sandbox:
    """What OPTR_SANDBOX names, tried; the best that works here when it names none. Nothing falls back to no sandbox.

    Raises:
        SandboxError: it does not work here, or its settings are incomplete.
    """
    choice = environ.get(SANDBOX_VARIABLE, "").strip() or SandboxChoice.AUTO
    if choice == SandboxChoice.NONE:
        return await tried(Unconfined())
    if choice == SandboxChoice.CONTAINER:
        image = environ.get(IMAGE_VARIABLE, "").strip()
        if not image:
            raise SandboxError(
                f"{SANDBOX_VARIABLE}=container needs an image: set {IMAGE_VARIABLE} to one that is here already, "
                f"or unset {SANDBOX_VARIABLE} to take bubblewrap or Landlock"
            )
        return await tried(Container(image, environ.get(ENGINE_VARIABLE, "").strip() or ContainerEngine.DOCKER))
    return await choose_sandbox(None if choice == SandboxChoice.AUTO else choice)
