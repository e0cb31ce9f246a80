"""A container engine's command line, as strict as a reviewer: what is not asked for exactly is refused.

It knows `run`, `inspect` and `rm` in docker's form, keeps its containers as files, and runs commands under bubblewrap
with the mounts, user and network that it was told. An option that it does not know, or a wall that is missing, ends it
with 125 and a sentence, as an engine would that was called wrongly.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

IMAGE = "registry.example/checks:1"
STATE = Path(os.environ["HOME"]) / "containers"
FLAGS = {"--interactive", "--init", "--read-only"}
VALUED = {
    *("--name", "--pull", "--log-driver", "--network", "--hostname", "--ipc", "--cap-drop", "--security-opt", "--user"),
    *("--memory", "--memory-swap", "--pids-limit", "--shm-size", "--workdir", "--entrypoint"),
}
REPEATED = {"--ulimit", "--tmpfs", "--mount", "--env"}
WALLS = {
    "--pull": "never",
    "--ipc": "private",
    "--cap-drop": "ALL",
    "--security-opt": "no-new-privileges",
    "--workdir": "/workspace",
    "--entrypoint": "prlimit",
}


def refuse(why: str) -> None:
    sys.stderr.write(f"docker: {why}\n")
    sys.exit(125)


def parse(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    told: dict[str, list[str]] = {}
    while words and words[0].startswith("--"):
        option = words.pop(0)
        if option in FLAGS:
            told[option] = []
        elif option in VALUED | REPEATED:
            if option in VALUED and option in told:
                refuse(f"{option} given twice")
            told.setdefault(option, []).append(words.pop(0))
        else:
            refuse(f"unknown flag: {option}")
    return told, words


def judge(told: dict[str, list[str]]) -> None:
    for flag in FLAGS:
        if flag not in told:
            refuse(f"a sandbox without {flag}")
    for option, value in WALLS.items():
        if told.get(option) != [value]:
            refuse(f"{option} must be {value}, is {told.get(option)}")
    if told["--user"][0].split(":")[0] in {"0", "root", ""}:
        refuse("root inside")
    if told["--memory"] != told["--memory-swap"] or int(told["--memory"][0]) <= 0 or int(told["--pids-limit"][0]) <= 0:
        refuse("no bound on memory or processes")
    if not any(limit.startswith("fsize=") for limit in told["--ulimit"]):
        refuse("no bound on files")
    if told["--network"][0] not in {"none", "bridge"}:
        refuse(f"network {told['--network'][0]}")


def mounts(told: dict[str, list[str]]) -> list[str]:
    words: list[str] = []
    for mount in told["--mount"]:
        fields = dict(part.partition("=")[::2] for part in mount.split(","))
        if set(fields) - {"type", "source", "target", "readonly"} or fields["type"] != "bind":
            refuse(f"mount {mount}")
        words += ["--ro-bind" if "readonly" in fields else "--bind", fields["source"], fields["target"]]
    return words


def start(words: list[str]) -> int:
    told, rest = parse(words)
    judge(told)
    if not rest or rest.pop(0) != IMAGE:
        refuse("Unable to find image locally")
    name = told["--name"][0]
    record = STATE / name
    STATE.mkdir(exist_ok=True)
    record.write_text(json.dumps({"Status": "created", "ExitCode": 0, "Error": ""}))
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/usr", "/usr"]
    argv += ["--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/home/agent", *mounts(told)]
    argv += ["--chdir", "/workspace"] + (["--share-net"] if told["--network"] == ["bridge"] else [])
    for word in told["--env"]:
        variable, given, value = word.partition("=")
        argv += ["--setenv", variable, value if given else os.environ[variable]]
    uid, gid = told["--user"][0].split(":")
    drop = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--"] if os.geteuid() == 0 else []
    running = subprocess.Popen([*drop, *argv, "--", "prlimit", *rest])
    record.write_text(json.dumps({"Status": "running", "ExitCode": 0, "Error": "", "Pid": running.pid}))
    code = running.wait()
    if record.exists():  # not removed meanwhile
        code = code if code >= 0 else 128 - code
        record.write_text(json.dumps({"Status": "exited", "ExitCode": code, "Error": "", "Pid": 0}))
    return code if code >= 0 else 128 - code


def inspect(words: list[str]) -> int:
    if words[:4] != ["--type", "container", "--format", "{{json .State}}"]:
        refuse(f"inspect {words}")
    record = STATE / words[4]
    if not record.exists():
        sys.stderr.write(f"Error: no such container: {words[4]}\n")
        return 1
    sys.stdout.write(record.read_text())
    return 0


def remove(words: list[str]) -> int:
    if words[:2] != ["--force", "--volumes"]:
        refuse(f"rm {words}")
    record = STATE / words[2]
    if not record.exists():
        return 1
    state = json.loads(record.read_text())
    record.unlink()
    if state["Status"] == "running":
        os.kill(state["Pid"], signal.SIGKILL)
    return 0


if __name__ == "__main__":
    if set(os.environ) & {"OPENAI_API_KEY", "OPTR_WEBHOOK_SECRET"}:
        refuse("the engine was handed OPTR's own secrets")
    sys.exit({"run": start, "inspect": inspect, "rm": remove}[sys.argv[1]](sys.argv[2:]))
