"""The operator's own models, OPTR_MODELS_FILE: entries that add to the shipped ones or replace them by id."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from execution.models.registry import MODELS_BYTES_MAX, Registry, RegistryError, load_registry
from execution.problems import SetupProblem

MODELS_VARIABLE = "OPTR_MODELS_FILE"
MODE_FORBIDDEN = stat.S_IWGRP | stat.S_IWOTH  # an entry says where a key is sent, so only the operator may write it


def operator_registry(environ: Mapping[str, str]) -> Registry:
    """The shipped models, overlaid by the operator's file when the variable names one.

    Raises:
        SetupProblem: the file cannot be read, others may write it, or an entry is wrong.
    """
    told = environ.get(MODELS_VARIABLE, "").strip()
    if not told:
        return load_registry()
    path = Path(told).expanduser().absolute()
    try:
        return load_registry(_read(path), where=str(path))
    except (OSError, ValueError, RegistryError) as error:
        why = (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
        raise SetupProblem(
            f"{MODELS_VARIABLE}: {why}",
            code="CONFIG_INVALID",
            where=str(path),
            remedy=f"Correct the file, or unset {MODELS_VARIABLE} to use the shipped models alone",
        ) from None


def _read(path: Path) -> bytes:
    # Opened once and judged by descriptor; non-blocking, because a named pipe would hang the start.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is not a regular file")
        if facts.st_mode & MODE_FORBIDDEN:
            raise ValueError(f"its mode {stat.S_IMODE(facts.st_mode):04o} lets others write it: `chmod go-w` it")
        return file.read(MODELS_BYTES_MAX + 1)
