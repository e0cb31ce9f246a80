"""Rows of the registry: what a patch may not be, and what a reviewer should know of it. Name, cause, remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from governance.patch import PatchCode

_Row = tuple[str, str, str]


def _row(code: PatchCode, cause: str, remedy: str) -> tuple[PatchCode, _Row]:
    return code, (code.value, cause, remedy)


_AGAIN = "Run the agent again; nothing of such a patch is applied."

PATCH_REASONS: Mapping[PatchCode, _Row] = MappingProxyType(
    dict(
        (
            _row(
                PatchCode.EMPTY,
                "The patch changes nothing.",
                "Read what the agent reported; it may have found nothing to do.",
            ),
            _row(PatchCode.UNPARSABLE, "The patch is not one that can be read strictly.", _AGAIN),
            _row(
                PatchCode.TOO_LARGE,
                "The patch has more bytes than are allowed.",
                "Make the request smaller, or raise `patch.bytes_max`.",
            ),
            _row(
                PatchCode.TOO_MANY_FILES,
                "The patch touches more files than are allowed.",
                "Make the request smaller, or raise `patch.files_max`.",
            ),
            _row(PatchCode.TRAVERSAL, "A path of the patch leaves the repository.", _AGAIN),
            _row(
                PatchCode.BAD_PATH,
                "A path of the patch is too long or holds a character that paths may not.",
                _AGAIN,
            ),
            _row(
                PatchCode.GIT_DIRECTORY, "The patch writes into a git directory, or would on some file system.", _AGAIN
            ),
            _row(PatchCode.SYMLINK, "The patch makes or changes a symbolic link.", "Make such a change by hand."),
            _row(PatchCode.SUBMODULE, "The patch touches a submodule.", "Make such a change by hand."),
            _row(PatchCode.MODE_CHANGE, "The patch changes a file's mode.", "Make such a change by hand."),
            _row(
                PatchCode.BINARY,
                "The patch holds a binary file.",
                "Allow it with `patch.binary: true`, or make the change by hand.",
            ),
            _row(
                PatchCode.PATH_COLLISION,
                "Two paths are one on a file system that folds case or Unicode.",
                "Rename one of them.",
            ),
            _row(
                PatchCode.PROTECTED,
                "The patch touches a protected path.",
                "Make such a change by hand, or leave it to approval with `patch.protected_policy: require_approval`.",
            ),
        )
    )
)

PATCH_WARNINGS: Mapping[PatchCode, _Row] = MappingProxyType(
    dict(
        (
            _row(PatchCode.LOCKFILE, "The patch changes which dependencies are used.", "Look at what it brings in."),
            _row(PatchCode.EXECUTABLE, "The patch adds an executable file.", "Look at what it does and who runs it."),
        )
    )
)
