"""A database that cannot be used is the operator's to mend, not a fault of ours: the message says where and how."""

from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from bot.cli.errors import as_optr_error
from bot.exit_codes import ExitCode
from execution.store import Store
from tests.postgres import Postgres, as_sqlalchemy


def told(url: str) -> list[str]:
    with pytest.raises(DBAPIError) as caught:
        Store(url)
    error = as_optr_error(caught.value)
    assert error.code is ExitCode.INFRASTRUCTURE
    assert error.what == "the database cannot be used"
    assert error.remedy
    assert "hunter2" not in "\n".join(error.lines())
    return error.lines()


def test_postgresql_that_is_away() -> None:
    lines = told("postgresql+psycopg://optr:hunter2@127.0.0.1:1/optr")
    assert "  where: OPTR_DATABASE_URL" in lines
    assert any("refused" in line.lower() for line in lines)


def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    url = postgres.database().rpartition("/")[0] + "/nosuch"
    assert any('database "nosuch" does not exist' in line for line in told(as_sqlalchemy(url)))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database" * 100)
    lines = told(f"sqlite:///{tmp_path / 'state.db'}")
    assert any("docs/operations.md" in line for line in lines)
    assert any("not a database" in line for line in lines)
