"""Write a new file into a repository's work tree: never over another, never through a link."""

from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import OptrError

if TYPE_CHECKING:
    from execution.discovery import Place


def repository(repo: Path) -> "Place":
    """The repository that a path is in, which must have a work tree.

    Raises:
        OptrError: there is none, or it has none.
    """
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it

    try:
        place = locate(repo)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    if place.top == place.git_dir:
        remedy = "Give --repo a clone with files"
        raise OptrError("that is a bare repository, without files to add to", where=str(place.top), remedy=remedy)
    return place


def write_new(top: Path, name: str, text: str) -> Path:
    """Write `text` to a file that does not exist yet.

    Args:
        top: the work tree's top.
        name: the file's path below it, with forward slashes.
        text: its content.

    Raises:
        OptrError: it exists, or a directory on the way is a link, which could lead anywhere.
        OSError: it cannot be written.
    """
    path = top / name
    for directory in reversed(path.relative_to(top).parents[:-1]):
        if (top / directory).is_symlink():
            remedy = "Make it a real directory"
            raise OptrError("a link stands where a directory must be", where=str(top / directory), remedy=remedy)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        remedy = "Edit it, or move it away and run the command again"
        raise OptrError("the file exists, and is left as it is", where=str(path), remedy=remedy) from None
    return path
