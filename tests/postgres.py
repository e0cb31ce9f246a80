"""A real PostgreSQL for the tests: a server of this test session's own, on a port and in a directory of its own."""

import contextlib
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
PREFIX = "optr-pg-"
SESSION = "session"  # whose server it is: process id and start time
STARTED_FIELD = 19  # of /proc/<pid>/stat, counted after the name
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
        home = Path(tempfile.mkdtemp(prefix=PREFIX))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        (home / SESSION).write_text(f"{os.getpid()} {_started(os.getpid())}", encoding="ascii")
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


def sweep(bin_: Path) -> list[Path]:
    """Stop the servers that sessions left behind which were killed, and remove their directories; returns those."""
    gone = [home for home in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")) if _is_left(home)]
    taken = [ours for home in gone if (ours := _taken(home)) is not None]
    for home in taken:
        with contextlib.suppress(RuntimeError):  # it was never started, or has ended
            Postgres(bin_, home, 0).stop()
        shutil.rmtree(home, ignore_errors=True)
    return taken


def _is_left(home: Path) -> bool:
    """Whether the session that made it, and wrote itself down in it, is over."""
    try:
        pid, started = (home / SESSION).read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False  # not ours to judge
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process began, in ticks since boot: with its id it names it for good. Empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[STARTED_FIELD]


def _taken(home: Path) -> Path | None:
    """The directory under a name of ours; None when another session was faster."""
    ours = home.with_name(f"{PREFIX}left-{secrets.token_hex(6)}")
    try:
        return home.rename(ours)
    except OSError:
        return None


def as_sqlalchemy(url: str) -> str:
    """`url` as SQLAlchemy wants the driver named."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
