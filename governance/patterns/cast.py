"""Who plays which part in a pattern, and how it is set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from governance.workflow import AnyWorkflow, WorkflowProblemError

Bounds = tuple[int, int]  # least and most


@dataclass(frozen=True)
class Setting:
    """A whole number that a pattern can be set by."""

    default: int
    least: int
    most: int


@dataclass(frozen=True)
class Cast:
    """What a workflow says of its pattern.

    Attributes:
        roles: agents by role, in the order given.
        options: settings by name.
        tasks: by role, what its nodes are told instead of the pattern's own words.
    """

    roles: Mapping[str, tuple[str, ...]]
    options: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)

    def one(self, role: str) -> str:
        """The one agent of a role."""
        return self.roles[role][0]

    def task(self, role: str, words: str) -> str:
        """What the nodes of a role are told."""
        return self.tasks.get(role, words)


@dataclass(frozen=True)
class Pattern:
    """A way to work together that compiles to a graph.

    Attributes:
        name: as workflows write it.
        summary: one sentence for people.
        roles: how many agents each role takes.
        options: what can be set.
        make: the compiler; it is given every option.
    """

    name: str
    summary: str
    roles: Mapping[str, Bounds]
    make: Callable[[Cast], AnyWorkflow]
    options: Mapping[str, Setting] = field(default_factory=dict)

    def compiled(self, cast: Cast) -> AnyWorkflow:
        """The workflow.

        Raises:
            RefusedError: WORKFLOW_INVALID for a role, an option or a number of agents that the pattern does not have.
        """
        self._check_names(cast)
        for role, (least, most) in self.roles.items():
            count = len(cast.roles.get(role, ()))
            if not least <= count <= most:
                wanted = str(least) if least == most else f"{least} to {most}"
                raise WorkflowProblemError(f"pattern {self.name}: role {role} takes {wanted} agents, not {count}")
        options = {name: cast.options.get(name, setting.default) for name, setting in self.options.items()}
        for name, value in options.items():
            setting = self.options[name]
            if not setting.least <= value <= setting.most:
                text = f"pattern {self.name}: option {name} is {value}; it can be {setting.least} to {setting.most}"
                raise WorkflowProblemError(text)
        roles = {role: cast.roles.get(role, ()) for role in self.roles}
        return self.make(Cast(roles, options, cast.tasks))

    def _check_names(self, cast: Cast) -> None:
        for kind, given, known in (
            ("role", cast.roles, self.roles),
            ("option", cast.options, self.options),
            ("role", cast.tasks, self.roles),
        ):
            for name in given:
                if name not in known:
                    choice = ", ".join(known) or "none"
                    text = f"pattern {self.name} has no {kind} {name[:80]!a}; it has: {choice}"
                    raise WorkflowProblemError(text)
