"""Paths that a candidate may not change on its own authority: they steer GitHub, governance, agents or the checkout.

Agent instructions are among them because a candidate that edits them instructs whoever works there next.
"""

import re
import unicodedata
from collections.abc import Iterable

from governance.globs import ANY_SEGMENTS, matches

# GitHub refuses a push that touches these by an App without the `workflows` permission, which OPTR never asks for.
NEVER = (".github/workflows/**",)

PROTECTED = (
    ".github/**",
    *("CODEOWNERS", "docs/CODEOWNERS"),
    *("**/.gitmodules", "**/.gitattributes", "**/.lfsconfig", "**/.mailmap"),
    *("**/AGENTS.md", "**/AGENTS.override.md", "**/CLAUDE.md", "**/CLAUDE.local.md", "**/GEMINI.md"),
    *("**/.claude/**", "**/.cursor/**", "**/.codex/**", "**/.gemini/**", "**/.agents/**", "**/.copilot/**"),
    *("**/.windsurf/**", "**/.roo/**", "**/.continue/**", "**/.aider*", "**/.openhands/**"),
    *("**/.cursorrules", "**/.windsurfrules", "**/.clinerules", "**/.clinerules/**", "**/.roomodes"),
    *("**/.mcp.json", "**/mcp.json", "**/.vscode/**", "**/.idea/**", "**/.devcontainer/**", "**/.husky/**"),
    *("**/.npmrc", "**/.yarnrc*", "**/bunfig.toml", "**/pip.conf", "**/.pre-commit-config.yaml", "**/.envrc"),
)

LOCKFILES = (
    *(
        "**/package-lock.json",
        "**/npm-shrinkwrap.json",
        "**/yarn.lock",
        "**/pnpm-lock.yaml",
        "**/bun.lock",
        "**/bun.lockb",
    ),
    *("**/poetry.lock", "**/uv.lock", "**/pdm.lock", "**/Pipfile.lock", "**/requirements*.txt", "**/Cargo.lock"),
    *("**/go.sum", "**/Gemfile.lock", "**/composer.lock", "**/packages.lock.json", "**/gradle.lockfile", "**/mix.lock"),
)

# Code points that some file systems or terminals drop: soft hyphen, zero width, direction marks, byte order mark.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)


def fold(path: str) -> str:
    """The form under which two paths may meet on some file system: NFC, no case, no invisible characters.

    Per segment, trailing dots and blanks and an alternate stream (`:…`) go too, as Windows would have it.
    """
    if path.isascii():
        plain = path.lower()
    else:
        visible = _IGNORED.sub("", unicodedata.normalize("NFKC", path)).casefold()
        plain = unicodedata.normalize("NFC", visible)
    return "/".join(_as_windows(segment) for segment in plain.split("/"))


def _as_windows(segment: str) -> str:
    return (segment.partition(":")[0].rstrip(". ") or segment) if segment not in {".", ".."} else segment


def matched(path: str, globs: Iterable[str]) -> str | None:
    """The first glob that `path` is inside, compared folded; None when there is none.

    Globs are those of `governance.globs`, anchored at the root; one that ends in a slash holds for all below.
    """
    folded = fold(path)
    return next((glob for glob in globs if matches(_whole(glob), folded)), None)


def _whole(glob: str) -> str:
    anchored = glob.casefold().removeprefix("/")
    return f"{anchored}{ANY_SEGMENTS}" if anchored.endswith("/") else anchored
