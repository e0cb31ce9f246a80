"""A real PostgreSQL for the tests: a server of this test session's own, on a port and in a directory of its own."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

DEBIAN = Path("/usr/lib/postgresql")
ROLE = "optr"
UNPRIVILEGED = ("postgres", "nobody")  # initdb refuses root
START_SECONDS_MAX = 60
SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": "200", "shared_buffers": "32MB"}


def binaries() -> Path | None:
    """The directory that holds initdb and pg_ctl: on the PATH, else Debian's newest."""
    for found in map(shutil.which, ("initdb", "pg_ctl")):
        if found and (Path(found).resolve().parent / "pg_ctl").exists():
            return Path(found).resolve().parent
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].partition(".")[0]))
    return versions[-1].parent if versions else None


@dataclass
class Postgres:
    """One server; `stop` leaves nothing behind.

    Attributes:
        home: its data and socket directory.
        port: where it listens on 127.0.0.1.
    """

    bin: Path
    home: Path
    port: int
    made: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, bin_: Path) -> "Postgres":
        """Initialise a cluster and start it; as another user where we are root.

        Raises:
            RuntimeError: the server does not start; its output says why.
        """
        home = Path(tempfile.mkdtemp(prefix="optr-pg-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = cls(bin_, home, port)
        if os.geteuid() == 0:
            owner = server._owner()
            os.chown(home, owner.pw_uid, owner.pw_gid)
        data, log = str(home / "data"), str(home / "log")
        server._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={ROLE}", data)
        words = [f"-c {name}={value}" for name, value in SETTINGS.items()]
        options = " ".join([*words, f"-p {port}", f"-k {home}"])
        server._run("pg_ctl", "-D", data, "-l", log, "-w", "-t", str(START_SECONDS_MAX), "-o", options, "start")
        return server

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]  # hex of our own making
        self.made.append(name)
        return self._url(name)

    def stop(self) -> None:
        """End the server at once and remove its directory."""
        self._run("pg_ctl", "-D", str(self.home / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.home, ignore_errors=True)

    def _url(self, database: str) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *words: str) -> None:
        user = self._owner().pw_name if os.geteuid() == 0 else None
        # The server keeps what it inherits, so nothing of ours may be a pipe that somebody waits for.
        with (self.home.parent / f"{self.home.name}.out").open("w+b") as out:
            done = subprocess.run(
                [str(self.bin / program), *words],
                user=user,
                cwd=self.home,
                env={"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                check=False,
            )
            out.seek(0)
            told = out.read().decode(errors="replace")
        Path(out.name).unlink()
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}: {told}")

    def _owner(self) -> pwd.struct_passwd:
        known = {user.pw_name: user for user in pwd.getpwall()}
        return next(known[name] for name in UNPRIVILEGED if name in known)


def as_sqlalchemy(url: str) -> str:
    """`url` as SQLAlchemy wants the driver named."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
