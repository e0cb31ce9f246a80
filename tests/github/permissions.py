"""Which App permission an operation needs, and what a human's role on a repository allows.

Sources: https://docs.github.com/rest/authentication/permissions-required-for-github-apps and
https://docs.github.com/organizations/managing-user-access-to-your-organizations-repositories/repository-roles-for-an-organization
"""

import re
from collections.abc import Mapping

RANKS = {"none": 0, "read": 1, "write": 2, "admin": 3}
ROLES = ("none", "read", "triage", "write", "maintain", "admin")
ROLE_ALIASES = {"pull": "read", "push": "write"}
APP_ONLY = ("app",)  # the operation is authenticated as the App itself, by JWT
ANY_INSTALLATION = ()

Needs = tuple[str, ...]

_ISSUES_READ: Needs = ("issues:read", "pull_requests:read")
_ISSUES_WRITE: Needs = ("issues:write", "pull_requests:write")

_BY_OPERATION: dict[str, Needs] = {
    "apps/get-repo-installation": APP_ONLY,
    "apps/get-org-installation": APP_ONLY,
    "apps/get-user-installation": APP_ONLY,
    "apps/revoke-installation-access-token": ANY_INSTALLATION,
    "apps/list-repos-accessible-to-installation": ANY_INSTALLATION,
    "apps/get-by-slug": ANY_INSTALLATION,
    "rate-limit/get": ANY_INSTALLATION,
    "meta/get": ANY_INSTALLATION,
    "users/get-by-username": ANY_INSTALLATION,
    "search/issues-and-pull-requests": ANY_INSTALLATION,
    "issues/create": ("issues:write",),
    "issues/list-for-repo": _ISSUES_READ,
    "pulls/merge": ("contents:write",),
    "repos/get": ("metadata:read",),
    "repos/list-collaborators": ("metadata:read",),
    "repos/check-collaborator": ("metadata:read",),
    "repos/get-collaborator-permission-level": ("metadata:read",),
    "repos/get-branch-rules": ("metadata:read",),
    "repos/get-repo-rulesets": ("metadata:read",),
    "repos/get-repo-ruleset": ("metadata:read",),
    "repos/create-repo-ruleset": ("administration:write",),
    "repos/get-branch-protection": ("administration:read",),
    "repos/create-commit-status": ("statuses:write",),
    "repos/list-commit-statuses-for-ref": ("statuses:read",),
    "repos/get-combined-status-for-ref": ("statuses:read",),
    "repos/list-pull-requests-associated-with-commit": ("pull_requests:read", "contents:read"),
}
_BY_FAMILY: dict[str, tuple[Needs, Needs]] = {
    "apps": (APP_ONLY, APP_ONLY),
    "issues": (_ISSUES_READ, _ISSUES_WRITE),
    "reactions": (_ISSUES_READ, _ISSUES_WRITE),
    "pulls": (("pull_requests:read",), ("pull_requests:write",)),
    "checks": (("checks:read",), ("checks:write",)),
    "git": (("contents:read",), ("contents:write",)),
    "repos": (("contents:read",), ("contents:write",)),
}
_ROLE_NEEDED: tuple[tuple[str, str, str], ...] = (
    ("POST|PUT|DELETE", r"/repos/[^/]+/[^/]+/issues/\d+/(labels|assignees|lock).*", "triage"),
    ("POST|PATCH|DELETE", r"/repos/[^/]+/[^/]+/labels.*", "write"),
    ("PUT", r"/repos/[^/]+/[^/]+/pulls/\d+/(merge|update-branch)", "write"),
    ("POST|PATCH|PUT|DELETE", r"/repos/[^/]+/[^/]+/(git|contents|statuses|merges)(/.*)?", "write"),
    ("POST|PUT|PATCH|DELETE", r"/repos/[^/]+/[^/]+/(rulesets|collaborators|branches)(/.*)?", "admin"),
)


def needs_of(operation: str, method: str) -> Needs:
    """Return the alternatives, each ``permission:level``, one of which an App needs for an operation."""
    if operation in _BY_OPERATION:
        return _BY_OPERATION[operation]
    reading, writing = _BY_FAMILY[operation.partition("/")[0]]
    return reading if method == "GET" else writing


def grants(permissions: Mapping[str, str], needs: Needs) -> bool:
    """Tell whether permissions satisfy one of the alternatives; no alternatives means anyone."""
    return not needs or any(_grants_one(permissions, need) for need in needs)


def _grants_one(permissions: Mapping[str, str], need: str) -> bool:
    name, _, level = need.partition(":")
    return RANKS[permissions.get(name, "none")] >= RANKS.get(level, 3)


def role_at_least(role: str, needed: str) -> bool:
    """Compare two repository roles."""
    return ROLES.index(ROLE_ALIASES.get(role, role)) >= ROLES.index(needed)


def role_needed(method: str, path: str) -> str:
    """Return the least role with which a human may make a request about a private repository."""
    for methods, pattern, role in _ROLE_NEEDED:
        if method in methods.split("|") and re.fullmatch(pattern, path):
            return role
    return "read"
