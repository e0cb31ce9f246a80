"""What `optr execute` and `optr demo` ask of a local run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
