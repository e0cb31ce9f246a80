"""What `optr execute` and `optr demo` ask of a local run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `optr --version` must not wait for it
    from governance.correction import CorrectionType


@dataclass(frozen=True)
class LocalRequest:
    """One run on a local repository.

    Attributes:
        repo: its working directory; neither its files nor its current branch are touched.
        workflow: 1 to 64 characters of a-z, 0-9, `.`, `_`, `-`, checked.
        intent: what is asked, as typed; sanitise before use.
        constraints: short names.
        agents: names to race; empty means those of the repository's configuration.
        state: directory for databases, keys and caches.
        environ: the operator's environment: model keys and addresses, OPTR_ settings (checked); never passed on whole.
        on_progress: called with one line for people whenever something happened.
        definition, definition_path: a workflow's text and its file's name; empty for what the repository says.
        adopt: take the ledger on the branch as it stands, when this machine remembers nothing of it, and record that.
    """

    repo: Path
    workflow: str
    intent: str
    constraints: tuple[str, ...]
    agents: tuple[str, ...]
    state: Path
    environ: Mapping[str, str] = field(repr=False)
    on_progress: Callable[[str], None]
    adopt: bool = False
    definition: str = ""
    definition_path: str = ""


@dataclass(frozen=True)
class LocalCorrection:
    """What `optr correct` asks.

    Attributes:
        run: the run's id, or its workflow's name.
        node: what is to be done again.
        reason: why, in a person's words.
        kind: see governance.correction; None leaves it to what was reported.
    """

    run: str
    node: str
    reason: str
    kind: "CorrectionType | None" = None
