"""Keeps git and the emulator's Git Data the same: objects both ways, refs both ways, hashes compared."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from tests.github.emulator import Emulator
from tests.github.git_store import GitObject, GitRepository
from tests.github.wire import Json

IMPORT_BATCH_BYTES = 8_000_000  # per console request


@dataclass(frozen=True)
class RefChange:
    """One ref that moved; ``None`` stands for absent."""

    ref: str
    before: str | None
    after: str | None


def changes_between(before: Mapping[str, str], after: Mapping[str, str]) -> list[RefChange]:
    """Return how refs differ, leaving out those GitHub keeps for itself."""
    names = sorted(ref for ref in {*before, *after} if not ref.startswith("refs/pull/"))
    pairs = [RefChange(ref, before.get(ref), after.get(ref)) for ref in names]
    return [one for one in pairs if one.before != one.after]


async def to_emulator(emulator: Emulator, repository_id: int, git: GitRepository, before: Mapping[str, str]) -> None:
    """Bring the emulator up to git's refs, where ``before`` were git's refs when the two last agreed."""
    after = await git.refs()
    moved = changes_between(before, after)
    batch: list[Json] = []
    size = 0
    new = [change.after for change in moved if change.after]
    if new:
        async for one in git.objects(new, before.values()):
            batch.append({"sha": one.sha, "type": one.type, "data": base64.b64encode(one.data).decode()})
            size += len(one.data)
            if size > IMPORT_BATCH_BYTES:
                await emulator.console("import", repo_id=repository_id, objects=batch)
                batch, size = [], 0
        await emulator.console("import", repo_id=repository_id, objects=batch)
    for change in moved:
        await emulator.console("ref", repo_id=repository_id, ref=change.ref, sha=change.after)


async def to_git(emulator: Emulator, repository_id: int, git: GitRepository) -> list[RefChange]:
    """Bring git up to the emulator's refs and return what moved."""
    before = await git.refs()
    rows = await emulator.find("refs", repo_id=repository_id)
    moved = changes_between(before, {row["ref"]: row["sha"] for row in rows})
    for change in moved:
        if change.after is not None:
            have = [sha for sha in before.values() if sha]
            found = await emulator.console("export", repo_id=repository_id, sha=change.after, have=have)
            for one in found:
                git.write_object(GitObject(one["sha"], one["type"], base64.b64decode(one["data"])))
        await git.set_ref(change.ref, change.after)
    return moved
