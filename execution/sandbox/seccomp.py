"""Seccomp programs: which system calls a sandboxed command may not make.

The layout is that of seccomp(2) and the kernel's `struct seccomp_data`: 4 bytes call number, 4 bytes architecture,
8 bytes instruction pointer, six arguments of 8 bytes, little endian on every machine that we support.
"""

import struct
from collections.abc import Iterable, Mapping

from execution.sandbox import SandboxError

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 0x00050001, 0x00050026, 0x00050061  # SECCOMP_RET_ERRNO | errno

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000  # the second ABI of x86_64, which would carry every call past the list

# name: (x86_64, aarch64); None where a machine lacks the call. From the kernel's asm/unistd.h.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # looking into and steering other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # namespaces, mounts, roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    # wide kernel surfaces that no test needs
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
}

# Without namespaces these reach objects that other sandboxes of the same uid share.
_SHARED_IPC: dict[str, tuple[int | None, int | None]] = {
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}

_SIGNALLING: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}

_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_IOCTL, _PRLIMIT, _TRUNCATE = (16, 29), (302, 261), (76, 45)
_CLONE_NEW_ANY = 0x7E020080  # every CLONE_NEW* flag
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_SOCKET_TYPE_MASK = 0xF
_CONNECTED_TYPES = (1, 5)  # SOCK_STREAM, SOCK_SEQPACKET: a datagram pair could still send to any path

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16


def namespaced(machine: str) -> bytes:
    """The program for a process in namespaces of its own: the list above, and no exotic socket families.

    AF_VSOCK, for one, crosses network namespaces and reaches a virtual machine's host.
    """
    return _program(machine, _DENIED, families=(AF_UNIX, AF_INET, AF_INET6, AF_NETLINK))


def bare(machine: str, *, may_signal: bool, may_truncate: bool, network: bool) -> bytes:
    """The program for a process that shares every namespace with the host.

    No socket of any family, because a path socket (a desktop bus, a container engine) is a way out that neither file
    rules nor an empty network stop; anonymous stream pairs stay. No shared IPC, no other process's limits.

    Args:
        machine: `os.uname().machine`.
        may_signal: False when the kernel cannot confine signals to the sandbox.
        may_truncate: False when the kernel cannot confine truncation by path.
        network: an explicit grant of internet sockets.
    """
    denied = _DENIED | _SHARED_IPC
    if not may_signal:
        denied = denied | _SIGNALLING
    if not may_truncate:
        denied = denied | {"truncate": _TRUNCATE}
    return _program(machine, denied, families=(AF_INET, AF_INET6) if network else ())


def _program(machine: str, denied: Mapping[str, tuple[int | None, int | None]], families: tuple[int, ...]) -> bytes:
    if machine not in _ARCHITECTURES:
        raise SandboxError(f"no system call list for {machine}; OPTR's sandbox knows {' and '.join(_ARCHITECTURES)}")
    column = list(_ARCHITECTURES).index(machine)
    named = [line for numbers in denied.values() for line in _deny(numbers[column], _EPERM)]
    body = [*_entry(machine), *named, *_processes(column), *_terminal(column), *_sockets(column, families)]
    return b"".join([*body, _statement(_RETURN, _ALLOW)])


def _entry(machine: str) -> list[bytes]:
    architecture = [_statement(_LOAD, _ARCHITECTURE), *_unless_equal(_ARCHITECTURES[machine], _KILL)]
    second_abi = [_jump(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _statement(_RETURN, _KILL)] if machine == "x86_64" else []
    return [*architecture, _statement(_LOAD, _NUMBER), *second_abi]


def _processes(column: int) -> list[bytes]:
    """No new namespaces by clone, nobody else's limits. clone3 hides its flags, and libc falls back to clone."""
    new_namespace = [*_argument(0), _jump(_JUMP_ANY_BIT, _CLONE_NEW_ANY, 0, 1), _statement(_RETURN, _EPERM)]
    own_limits = [*_argument(0), *_unless_equal(0, _EPERM)]
    return [
        *_deny(_CLONE3[column], _ENOSYS),
        *_when(_CLONE[column], new_namespace),
        *_when(_PRLIMIT[column], own_limits),
    ]


def _terminal(column: int) -> list[bytes]:
    injections = [line for request in _TERMINAL_INJECTION for line in _deny(request, _EPERM)]
    return _when(_IOCTL[column], [*_argument(1), *injections])


def _sockets(column: int, families: tuple[int, ...]) -> list[bytes]:
    own = [*_argument(0), *_unless_equal(AF_UNIX, _EAFNOSUPPORT), *_argument(1), _statement(_AND, _SOCKET_TYPE_MASK)]
    pairs = _when(_SOCKETPAIR[column], [*own, *_only(_CONNECTED_TYPES, _EAFNOSUPPORT)])
    return [*pairs, *_when(_SOCKET[column], [*_argument(0), *_only(families, _EAFNOSUPPORT)])]


def _deny(number: int | None, verdict: int) -> list[bytes]:
    return [] if number is None else [_jump(_JUMP_EQUAL, number, 0, 1), _statement(_RETURN, verdict)]


def _unless_equal(value: int, verdict: int) -> list[bytes]:
    return [_jump(_JUMP_EQUAL, value, 1, 0), _statement(_RETURN, verdict)]


def _only(values: Iterable[int], verdict: int) -> list[bytes]:
    return [*(line for value in values for line in _deny(value, _ALLOW)), _statement(_RETURN, verdict)]


def _when(number: int, block: list[bytes]) -> list[bytes]:
    """Run `block` for one system call, then put the call's number back for what follows."""
    return [_jump(_JUMP_EQUAL, number, 0, len(block) + 1), *block, _statement(_LOAD, _NUMBER)]


def _argument(index: int) -> list[bytes]:
    """Load the low half of an argument: every argument tested here is an int to the kernel."""
    return [_statement(_LOAD, _ARGUMENTS + 8 * index)]


def _statement(code: int, value: int) -> bytes:
    return _jump(code, value, 0, 0)


def _jump(code: int, value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("<HBBI", code, then, otherwise, value)
