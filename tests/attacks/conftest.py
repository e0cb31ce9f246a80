"""The clean room's fixtures."""

from tests.attacks.court import court
from tests.execution.rooms import origin, room, sandbox, scratch

__all__ = ["court", "origin", "room", "sandbox", "scratch"]
