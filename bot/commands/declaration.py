"""What a command declares of itself; help, documentation and checks are made from it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from bot.names import COMMAND_WORD
from bot.payloads import Account, Issue, Repository
from bot.permissions import Permission
from bot.ports import Context
from execution.runs import Run

NAMES_MAX = 16

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}")


class Place(Enum):
    """How an argument is given."""

    NAMED = auto()
    OPTIONAL = auto()  # by its place, may be left out
    REQUIRED = auto()  # by its place


@dataclass(frozen=True)
class Argument:
    """An argument: named, written `name=value` without spaces, or known by its place.

    Attributes:
        name: lower case.
        form: how the value looks, for people.
        meaning: what it does.
        parse: turns the value into words; raises ValueError saying what is wrong.
        place: how it is given.
    """

    name: str
    form: str
    meaning: str
    parse: Callable[[str], tuple[str, ...]]
    place: Place = Place.NAMED

    @property
    def usage(self) -> str:
        """The argument's form."""
        if self.place is Place.NAMED:
            return f"[{self.name}={self.form}]"
        return self.form if self.place is Place.REQUIRED else f"[{self.form}]"


@dataclass(frozen=True)
class Call:
    """One use of a command, its sender's permission checked.

    Attributes:
        context: what handlers may reach.
        guid: the delivery.
        repository, installation: where.
        issue: the issue, or the issue side of a pull request.
        account: whoever wrote the comment.
        arguments: parsed, by name; absent when not given.
        commands: the whole vocabulary.
        said: what else stands in the comment, as plain text; untrusted.
        comment: GitHub's number of that comment; 0 for a button.
        bound: the run that is meant, when it is named by more than the conversation; a button's.
    """

    context: Context
    guid: str
    repository: Repository
    installation: int
    issue: Issue
    account: Account
    arguments: Mapping[str, tuple[str, ...]]
    commands: Mapping[str, "Command"]
    bound: Run | None = None
    said: str = ""
    comment: int = 0

    @property
    def sender(self) -> str:
        """The account's login, for people and records."""
        return self.account.login

    def argument(self, name: str) -> str:
        """A single word given for an argument, or an empty string."""
        return next(iter(self.arguments.get(name, ())), "")

    async def newest_run(self) -> Run | None:
        """The run that this conversation is about: a button's own, the pull request's, or the issue's newest."""
        if self.bound is not None:
            return await self.context.runs.get(self.bound.id)
        name, number = self.repository.full_name, self.issue.number
        if self.issue.pull_request is not None:
            return await self.context.runs.run_of_pull_request(name, number)
        return next(iter(await self.context.runs.runs_of_issue(name, number)), None)


@dataclass(frozen=True)
class Command:
    """A slash command.

    Attributes:
        name: the word after `/optr`.
        meaning: one sentence: what it does.
        example: a line that works.
        permission: what its user must have.
        handle: does it; returns the answer, or an empty string when the reaction says enough. Doing it twice changes
            nothing more.
        arguments: those with a place in their order, named ones after them.
    """

    name: str
    meaning: str
    example: str
    permission: Permission
    handle: Callable[[Call], Awaitable[str]]
    arguments: tuple[Argument, ...] = ()

    @property
    def usage(self) -> str:
        """The command with its arguments' forms."""
        return " ".join([COMMAND_WORD, self.name, *(argument.usage for argument in self.arguments)])


def comma_names(value: str) -> tuple[str, ...]:
    """A list of short names, `a,b`.

    Raises:
        ValueError: too many, one twice, or not a name.
    """
    names = tuple(value.split(","))
    if len(names) > NAMES_MAX:
        raise ValueError(f"at most {NAMES_MAX} names")
    if len(set(names)) != len(names):
        raise ValueError("each name once")
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("names of lower case letters, digits, - and _, with commas and no spaces between them")
    return names


def one_name(value: str) -> tuple[str, ...]:
    """One short name.

    Raises:
        ValueError: it is none.
    """
    if not _NAME.fullmatch(value):
        raise ValueError("one name of lower case letters, digits, - and _")
    return (value,)


def commit_digits(value: str) -> tuple[str, ...]:
    """A commit's id, or at least its first seven digits.

    Raises:
        ValueError: it is none.
    """
    if not _COMMIT.fullmatch(value):
        raise ValueError("a commit's id: 7 to 40 hexadecimal digits in lower case")
    return (value,)


def whole_commit(value: str) -> tuple[str, ...]:
    """A commit's whole id: two commits that share their first digits can be made in an afternoon.

    Raises:
        ValueError: it is none.
    """
    if not _WHOLE_COMMIT.fullmatch(value):
        raise ValueError("a commit's whole id: 40 hexadecimal digits in lower case")
    return (value,)
