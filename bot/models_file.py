"""The operator's own models, OPTR_MODELS_FILE: entries that add to the shipped ones or replace them by id."""

from collections.abc import Mapping
from pathlib import Path

from execution.models.registry import MODELS_BYTES_MAX, Registry, RegistryError, load_registry
from execution.operatorfile import read_operators
from execution.problems import SetupProblem

MODELS_VARIABLE = "OPTR_MODELS_FILE"


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
        return load_registry(read_operators(path, MODELS_BYTES_MAX), where=str(path))
    except (OSError, ValueError, RegistryError) as error:
        why = (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
        raise SetupProblem(
            f"{MODELS_VARIABLE}: {why}",
            code="CONFIG_INVALID",
            where=str(path),
            remedy=f"Correct the file, or unset {MODELS_VARIABLE} to use the shipped models alone",
        ) from None
