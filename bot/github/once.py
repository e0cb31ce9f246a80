"""Creating things once: look before, and look again when an answer got lost."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.github.errors import GitHubError, GitHubErrorCode

T = TypeVar("T")


async def find_or_create(find: Callable[[], Awaitable[T | None]], create: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
    """Return what `find` finds, else what `create` made, and whether it was made now.

    When creating is refused or its answer is lost, the thing may be there all the same: somebody was faster, or the
    call took effect. Only when it still cannot be found is the error raised.

    Raises:
        GitHubError: it is not there and could not be created.
    """
    if (found := await find()) is not None:
        return found, False
    try:
        return await create(), True
    except GitHubError as error:
        if not (error.ambiguous or error.code is GitHubErrorCode.REFUSED):
            raise
        if (found := await find()) is None:
            raise
        return found, False
