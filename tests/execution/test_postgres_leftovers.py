"""A test session that is killed leaves its PostgreSQL behind; the next one stops it and touches no other."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.postgres import Postgres, binaries, sweep

ROOT = Path(__file__).parents[2]
SESSION = """
import pathlib, sys, time
from tests.postgres import Postgres
made = Postgres.start(pathlib.Path(sys.argv[1]))
print(made.home, made.port, flush=True)
time.sleep(600)
"""


def answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://optr@127.0.0.1:{port}/postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_next_session_stops_what_a_killed_one_left(postgres: Postgres) -> None:
    found = binaries()
    assert found is not None
    command = [sys.executable, "-c", SESSION, str(found)]
    session = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert session.stdout is not None
        home, port = session.stdout.readline().split()
        sweep(found)
        assert answers(int(port)), "it is at work"
        assert answers(postgres.port), "and so is ours"
    finally:
        session.send_signal(signal.SIGKILL)
        session.communicate()
    assert answers(int(port)), "the server outlives its session"
    assert sweep(found)
    assert not answers(int(port))
    assert not Path(home).exists()
    assert answers(postgres.port)
    assert postgres.home.exists()
