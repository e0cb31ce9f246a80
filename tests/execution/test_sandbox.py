import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from execution.ports import Sandbox
from execution.records import Command
from execution.sandbox import SandboxError, seccomp
from execution.sandbox.bubblewrap import Bubblewrap
from execution.sandbox.identity import first_barrier, sandbox_ids
from execution.sandbox.probe import choose_sandbox
from execution.sandbox.process import Clipped
from execution.sandbox.toolchain import python_paths, search_path
from tests.execution.rooms import py, sh


def test_a_command_runs_in_its_workspace_and_may_write_there(sandbox: Sandbox, room: Path) -> None:
    done = sh(sandbox, room, "echo hello > made; mkdir -p a/b; mv made a/b/; cat a/b/made; echo problem >&2; exit 3")
    assert (done.exit_code, done.output, done.timed_out, done.truncated) == (3, b"hello\nproblem\n", False, False)
    assert (room / "a/b/made").read_text() == "hello\n"


def test_standard_input_arrives(sandbox: Sandbox, room: Path) -> None:
    payload = os.urandom(300_000).hex().encode()
    command = Command(argv=("sh", "-c", "wc -c"), workspace=room, stdin=payload)
    assert asyncio.run(sandbox.run(command)).output.strip() == b"600000"


def test_standard_input_that_nobody_reads_is_no_problem(sandbox: Sandbox, room: Path) -> None:
    command = Command(argv=("true",), workspace=room, stdin=b"x" * 1_000_000)
    assert asyncio.run(sandbox.run(command)).exit_code == 0


def test_it_is_nobody_without_privileges(sandbox: Sandbox, room: Path) -> None:
    done = sh(sandbox, room, "id -u; id -G")
    uid, gid = sandbox_ids()
    assert uid != 0
    assert done.output.split() == [str(uid).encode(), str(gid).encode()]


def test_a_setuid_program_gives_no_power(sandbox: Sandbox, room: Path) -> None:
    done = py(sandbox, room, "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))")
    assert done.output.strip() == b"1"  # PR_GET_NO_NEW_PRIVS


def test_the_environment_is_cleared(sandbox: Sandbox, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-must-stay-outside")
    command = Command(argv=("env",), workspace=room, env={"GIVEN": "yes"})
    lines = asyncio.run(sandbox.run(command)).output.decode().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "HOME", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "GIVEN"} <= names
    assert names <= {"PATH", "HOME", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "GIVEN", "PWD"} | {
        "GIT_CONFIG_NOSYSTEM",
        "GIT_ATTR_NOSYSTEM",
    }
    assert "LANG=C.UTF-8" in lines


def test_no_process_of_the_host_shows_its_environment(
    sandbox: Sandbox, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-visible-in-proc")
    done = sh(
        sandbox, room, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; ls /proc/*/fd /proc/*/root; true"
    )
    assert b"visible-in-proc" not in done.output
    assert str(Path.cwd()).encode() not in done.output
    assert done.exit_code == 0


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/gshadow", "/root/.bashrc", "/var/log/dpkg.log", __file__])
def test_the_hosts_files_cannot_be_read(sandbox: Sandbox, room: Path, path: str) -> None:
    assert sh(sandbox, room, f"cat {path}").exit_code != 0


@pytest.mark.parametrize(
    "path", ["/usr/made", "/made", "/etc/made", "/dev/made", "/var/made", "/home/made", "/proc/made"]
)
def test_the_system_cannot_be_written(sandbox: Sandbox, room: Path, path: str) -> None:
    assert sh(sandbox, room, f"touch {path}").exit_code != 0
    assert not Path(path).exists()


def test_another_workspace_is_out_of_reach(sandbox: Sandbox, room: Path, scratch: Path) -> None:
    other = scratch / "other"
    other.mkdir(mode=0o777)
    (other / "candidate.txt").write_text("the rival's idea")
    done = sh(
        sandbox,
        room,
        f"cat {other}/candidate.txt; ls {other} {scratch}; touch {other}/planted; cat ../other/candidate.txt",
    )
    assert b"idea" not in done.output
    assert [path.name for path in other.iterdir()] == ["candidate.txt"]


def test_a_link_leads_nowhere(sandbox: Sandbox, room: Path, scratch: Path) -> None:
    secret = scratch / "secret"
    secret.write_text("kept")
    (room / "link").symlink_to(secret)
    done = sh(sandbox, room, "cat link; echo x > link")
    assert b"kept" not in done.output
    assert secret.read_text() == "kept"


def test_home_and_temporary_directory_are_private_and_empty(sandbox: Sandbox, room: Path) -> None:
    script = (
        'ls -A "$HOME" "$TMPDIR" | grep -v :; echo a > "$HOME/x" && echo b > "$TMPDIR/y" && cat "$HOME/x" "$TMPDIR/y"'
    )
    for _ in range(2):
        assert sh(sandbox, room, script).output.split() == [b"a", b"b"]


_CONNECT = """
import socket, sys
for address in {addresses!r}:
    family = socket.AF_UNIX if isinstance(address, (str, bytes)) else socket.AF_INET
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print("refused", type(error).__name__)
    else:
        print("CONNECTED", address)
"""


def test_no_network_and_no_socket_of_the_host(sandbox: Sandbox, room: Path) -> None:
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    path, abstract = str(directory / "bus"), b"\0optr-test-%d" % os.getpid()
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as bus,
        socket.socket(socket.AF_UNIX) as hidden,
    ):
        bus.bind(path)
        Path(path).chmod(0o777)
        bus.listen()
        hidden.bind(abstract)
        hidden.listen()
        done = py(sandbox, room, _CONNECT.format(addresses=[tcp.getsockname(), ("192.0.2.1", 80), path, abstract]))
    assert done.output.count(b"refused") == 4, done.output
    assert b"CONNECTED" not in done.output


def test_names_are_not_resolved(sandbox: Sandbox, room: Path) -> None:
    assert py(sandbox, room, "import socket; socket.getaddrinfo('example.com', 80)").exit_code != 0


def test_a_virtual_machines_host_is_not_called(sandbox: Sandbox, room: Path) -> None:
    done = py(sandbox, room, "import socket; socket.socket(getattr(socket, 'AF_VSOCK', 40), socket.SOCK_STREAM)")
    assert b"Address family not supported" in done.output


@pytest.mark.parametrize(
    "script",
    [
        "unshare -U true",
        "unshare -Ur mount -t tmpfs none /tmp",
        "mount -t tmpfs none /tmp",
        "chroot . true",
        "nsenter -t 1 -a true",
    ],
)
def test_namespaces_and_mounts_are_denied(sandbox: Sandbox, room: Path, script: str) -> None:
    assert sh(sandbox, room, script).exit_code != 0


def test_dangerous_system_calls_are_denied(sandbox: Sandbox, room: Path) -> None:
    numbers = {"x86_64": (101, 321, 425, 250, 308, 298), "aarch64": (117, 280, 425, 219, 268, 241)}[os.uname().machine]
    code = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print([libc.syscall(number, 0, 0, 0, 0, 0) == -1 and errno.errorcode[ctypes.get_errno()] for number in {numbers}])
"""
    assert py(sandbox, room, code).output.decode().strip() == str(["EPERM"] * 6)


def test_the_host_cannot_be_signalled(sandbox: Sandbox, room: Path) -> None:
    done = sh(sandbox, room, f"kill -0 {os.getpid()}; kill -0 {os.getppid()}")
    assert done.exit_code != 0


def test_own_children_can_be_signalled(sandbox: Sandbox, room: Path) -> None:
    assert sh(sandbox, room, "sleep 30 & kill $!; wait $!; echo $?").output.split()[-1] == b"143"


def test_the_clock_kills_a_grandchild_in_a_session_of_its_own(sandbox: Sandbox, room: Path) -> None:
    started = time.monotonic()
    done = sh(sandbox, room, "setsid sh -c 'sleep 3; touch late' & echo up; sleep 30", wall_seconds=1.0)
    assert (done.exit_code, done.timed_out, done.output) == (None, True, b"up\n")
    assert time.monotonic() - started < 6
    time.sleep(3)
    assert not (room / "late").exists()


def test_nothing_outlives_a_command_that_ends(sandbox: Sandbox, room: Path) -> None:
    daemon = "setsid sh -c 'trap \"\" TERM HUP; (sleep 2; touch late) & sleep 30' >/dev/null 2>&1 </dev/null & exit 0"
    assert sh(sandbox, room, daemon).exit_code == 0
    time.sleep(2.5)
    assert not (room / "late").exists()


def test_a_background_process_that_keeps_the_output_open_does_not_hang(sandbox: Sandbox, room: Path) -> None:
    started = time.monotonic()
    assert sh(sandbox, room, "sleep 60 & exit 4", wall_seconds=20.0).exit_code == 4
    assert time.monotonic() - started < 10


def test_cancelling_kills(sandbox: Sandbox, room: Path) -> None:
    async def cancelled() -> None:
        async with asyncio.timeout(1.0):
            await sandbox.run(Command(argv=("sh", "-c", "setsid sleep 3 ; touch late"), workspace=room))

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    time.sleep(3)
    assert not (room / "late").exists()


_FORKS = """
import os, time
made = 0
while made < 400:
    try:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    except OSError:
        break
    made += 1
print(made)
"""


def _tasks_of_the_sandbox_uid() -> int:
    uid, _ = sandbox_ids()
    owners = (entry.stat().st_uid for entry in Path("/proc").iterdir() if entry.name.isdigit())
    with contextlib.suppress(FileNotFoundError):  # a process that ended while we looked
        return sum(owner == uid for owner in owners)
    return 1


def test_processes_are_counted(sandbox: Sandbox, room: Path) -> None:
    # Landlock counts per uid: a sandbox of another test that ends meanwhile would give its processes to this one.
    give_up = time.monotonic() + 60
    while os.geteuid() == 0 and _tasks_of_the_sandbox_uid() and time.monotonic() < give_up:
        time.sleep(0.01)
    done = py(sandbox, room, _FORKS, processes=40, wall_seconds=30.0)
    assert 5 <= int(done.output) <= 40, done.output


def test_a_fork_bomb_ends_with_the_clock(sandbox: Sandbox, room: Path) -> None:
    started = time.monotonic()
    done = sh(sandbox, room, "bomb() { bomb | bomb & }; bomb 2>&- & exec sleep 30", processes=60, wall_seconds=2.0)
    assert done.timed_out
    assert time.monotonic() - started < 15


def test_output_is_capped_and_keeps_both_ends(sandbox: Sandbox, room: Path) -> None:
    done = sh(
        sandbox, room, "echo first; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo last", output_bytes=10_000
    )
    assert done.truncated
    assert len(done.output) == 10_000
    assert done.output.startswith(b"first\n")
    assert done.output.endswith(b"last\n")


def test_memory_is_limited(sandbox: Sandbox, room: Path) -> None:
    done = py(sandbox, room, "x = bytearray(1 << 30)", memory_bytes=512 * 2**20)
    assert b"MemoryError" in done.output


def test_file_size_is_limited(sandbox: Sandbox, room: Path) -> None:
    done = sh(sandbox, room, "head -c 3000000 /dev/zero > big", file_bytes=1_000_000)
    assert done.exit_code != 0
    assert (room / "big").stat().st_size <= 1_000_000


def test_no_core_is_dumped(sandbox: Sandbox, room: Path) -> None:
    done = sh(sandbox, room, "ulimit -c; kill -SEGV $$")
    assert (done.output.strip(), done.exit_code) == (b"0", 139)


@pytest.mark.parametrize(
    ("argv", "code"),
    [(("no-such-program",), 127), (("/",), 126), (("sh", "-c", "kill -9 $$"), 137), (("sh", "-c", "x" * 300_000), 126)],
)
def test_exit_codes_are_those_of_a_shell(sandbox: Sandbox, room: Path, argv: tuple[str, ...], code: int) -> None:
    assert asyncio.run(sandbox.run(Command(argv=argv, workspace=room))).exit_code == code


def test_a_read_only_path_is_readable_and_its_programs_are_found(sandbox: Sandbox, room: Path, scratch: Path) -> None:
    tool = scratch / "tool" / "bin" / "greet"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho greetings\n")
    tool.chmod(0o755)
    argv = ("sh", "-c", f"greet; echo x >> {tool}; touch {tool.parent}/new")
    done = asyncio.run(sandbox.run(Command(argv=argv, workspace=room, read_only=(scratch / "tool",))))
    assert done.output.startswith(b"greetings\n")
    assert [path.name for path in tool.parent.iterdir()] == ["greet"]
    assert "x" not in tool.read_text().splitlines()


def test_python_is_usable(sandbox: Sandbox, room: Path) -> None:
    code = (
        "import asyncio, sqlite3, subprocess as s; asyncio.run(asyncio.sleep(0)); print(s.check_output(['echo', 'ok']))"
    )
    command = Command(argv=("python3", "-c", code), workspace=room, read_only=python_paths())
    assert asyncio.run(sandbox.run(command)).output.strip() == b"b'ok\\n'"


def test_many_run_at_once(sandbox: Sandbox, room: Path) -> None:
    async def all_of_them() -> list[bytes]:
        commands = [Command(argv=("sh", "-c", f"sleep 0.2; echo {n}"), workspace=room) for n in range(8)]
        return [done.output for done in await asyncio.gather(*map(sandbox.run, commands))]

    assert asyncio.run(all_of_them()) == [b"%d\n" % n for n in range(8)]


def test_a_descriptor_of_ours_is_not_inherited(sandbox: Sandbox, room: Path) -> None:
    with tempfile.TemporaryFile() as ours:
        os.set_inheritable(ours.fileno(), True)  # noqa: FBT003  # a builtin's only argument
        code = "import os; print([n for n in range(3, 200) if os.path.lexists(f'/dev/fd/{n}')])"
        done = py(sandbox, room, code)
    assert done.output.strip() == b"[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands workspaces to another uid")
def test_an_unreachable_workspace_is_an_error_that_names_the_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "closed" / "room").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    with pytest.raises(SandboxError, match=r"cannot reach .*chmod o\+x"):
        asyncio.run(sandbox.run(Command(argv=("true",), workspace=tmp_path / "closed" / "room")))


def test_a_backend_that_cannot_start_is_an_error_and_not_a_result(
    room: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SandboxError, match="No permissions to create new namespace"):
        asyncio.run(Bubblewrap().run(Command(argv=("true",), workspace=Path("/"))))


@pytest.fixture
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for tool in ("chmod", "rm"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_probe_finds_what_works() -> None:
    assert asyncio.run(choose_sandbox()).name in {"bubblewrap", "landlock"}


@pytest.mark.usefixtures("without_bubblewrap")
def test_the_probe_never_falls_back_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.sandbox.landlock.abi_version", lambda: 0)
    with pytest.raises(SandboxError, match=r"bubblewrap: .*landlock: .*apt-get install bubblewrap"):
        asyncio.run(choose_sandbox())


@pytest.mark.usefixtures("without_bubblewrap")
def test_without_bubblewrap_landlock_is_chosen() -> None:
    try:
        chosen = asyncio.run(choose_sandbox())
    except SandboxError as error:
        pytest.skip(f"no Landlock here: {error}")
    assert chosen.name == "landlock"


@pytest.mark.parametrize("preference", ["none", "docker", ""])
def test_there_is_no_other_choice(preference: str) -> None:
    with pytest.raises(SandboxError, match="choose bubblewrap or landlock"):
        asyncio.run(choose_sandbox(preference))


def test_an_unknown_machine_gets_no_filter() -> None:
    with pytest.raises(SandboxError, match="no system call list for s390x"):
        seccomp.namespaced("s390x")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filters_stay_inside_what_the_kernel_takes(machine: str) -> None:
    for program in (
        seccomp.namespaced(machine),
        seccomp.bare(machine, may_signal=False, may_truncate=False, network=False),
        seccomp.bare(machine, may_signal=True, may_truncate=True, network=True),
    ):
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096  # BPF_MAXINSNS


@pytest.mark.parametrize(("limit", "kept"), [(4, b"abij"), (10, b"abcdefghij"), (0, b"")])
def test_clipping(limit: int, kept: bytes) -> None:
    clipped = Clipped(limit)
    for chunk in (b"a", b"bcdefg", b"hi", b"j"):
        clipped.add(chunk)
    assert (clipped.value(), clipped.truncated) == (kept, limit < 10)


def test_search_path_names_only_directories_that_are(tmp_path: Path) -> None:
    (tmp_path / "with" / "bin").mkdir(parents=True)
    assert search_path((tmp_path / "with", tmp_path)) == f"/usr/local/bin:/usr/bin:/bin:{tmp_path}/with/bin"


def test_python_comes_from_our_prefix_only_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    prefix = scratch / "python"
    prefix.mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(prefix))
    assert python_paths() == (prefix,)
    if os.geteuid() == 0:
        scratch.chmod(0o700)
        assert python_paths() == ()
        assert first_barrier(prefix) == scratch
