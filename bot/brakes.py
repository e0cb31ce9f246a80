"""What stands in the way of a new run before it is one: kill switches, and how much one person may ask for."""

from collections.abc import Callable
from pathlib import Path

from bot.names import COMMAND_WORD
from bot.render.words import name, sentence
from execution.spending import DAY_MS
from execution.store import Store
from execution.switches import Pause, Switches

SWITCH_FILE = "paused"  # in OPTR_STATE: everything; `paused-5`: installation 5
REASON_BYTES_MAX = 300


class Brakes:
    """Asked before every run (`bot.ports.Brakes`).

    Args:
        store: the state database.
        state: OPTR_STATE, where the operator's switches are files.
        runs_of_person: the most runs one person may start through one installation in 24 hours.
        clock_ms: milliseconds since the epoch.
    """

    def __init__(self, store: Store, state: Path, runs_of_person: int, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._switches = Switches(store)
        self._state = state
        self._runs_of_person = runs_of_person
        self._clock_ms = clock_ms

    async def standing(self, installation: int, repository: str) -> str:
        """The kill switch that holds here now, for people; an empty string when there is none."""
        if (reason := self._operators(installation)) is not None:
            told = f": {sentence(reason)}" if reason else ""
            return f"OPTR's operator has paused it{told}. Nothing was started; ask again when it is lifted."
        if (pause := self._switches.standing(repository)) is not None:
            by = name(pause.by)
            return f"{by} has paused OPTR in this repository. Nothing was started; `{COMMAND_WORD} resume` lifts it."
        return ""

    async def refusal(self, installation: int, repository: str, login: str, account: int) -> str:
        """Why no run may start now, for people; an empty string when one may."""
        if held := await self.standing(installation, repository):
            return held
        started = self._store.count_asked(installation, login, account, self._clock_ms() - DAY_MS)
        if started >= self._runs_of_person:
            return (
                f"{name(login)} has started {started} runs in the last 24 hours, as many as the operator allows one "
                "person. No run was started; somebody else may start it, or wait."
            )
        return ""

    async def pause(self, repository: str, by: str) -> Pause:
        """Let nothing new start in a repository."""
        return self._switches.pause(repository, by, self._clock_ms())

    async def resume(self, repository: str) -> bool:
        """Lift a repository's pause; False when there was none."""
        return self._switches.resume(repository)

    def _operators(self, installation: int) -> str | None:
        for file in (SWITCH_FILE, f"{SWITCH_FILE}-{installation}"):
            path = self._state / file
            if path.exists():
                return _reason(path)
        return None


def _reason(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(REASON_BYTES_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""  # a switch that cannot be read is still a switch
