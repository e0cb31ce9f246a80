"""The clean room's walls: two backends behind `execution.ports.Sandbox`, one probe that chooses, no way around them.

Both share the host's kernel. A repository whose authors are hostile enough to spend a kernel exploit wants a virtual
machine around all of OPTR.
"""


class SandboxError(RuntimeError):
    """The sandbox itself could not start or end a command: infrastructure, never the command's own failure."""
