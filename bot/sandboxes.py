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
            raise SandboxError(f"{SANDBOX_VARIABLE}=container needs {IMAGE_VARIABLE}, an image that is already here")
        return await tried(Container(image, environ.get(ENGINE_VARIABLE, "").strip() or ContainerEngine.DOCKER))
    return await choose_sandbox(None if choice == SandboxChoice.AUTO else choice)
