"""Who may do what, by GitHub's own live permission on the repository, never by `author_association`."""

from enum import StrEnum


class Permission(StrEnum):
    """A person's permission as the collaborators API answers it (maintain reads as write, triage as read)."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: "Permission") -> bool:
        """Whether this permission is at least `needed`."""
        order = list(Permission)
        return order.index(self) >= order.index(needed)
