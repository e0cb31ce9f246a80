"""The clean room's fixtures."""

from tests.execution.rooms import origin, room, sandbox, scratch

__all__ = ["origin", "room", "sandbox", "scratch"]
