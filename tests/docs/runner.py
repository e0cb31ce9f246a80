"""Runs the shell steps of a workflow as GitHub's runner would: `bash -e`, outputs by file, expressions filled in."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STEP_SECONDS_MAX = 120
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_MACHINE = ("sudo ", "make setup")  # steps that prepare a machine; a test's machine is prepared already


@dataclass
class Job:
    """One job at work.

    Attributes:
        clone: the checkout.
        temp: RUNNER_TEMP, new and empty.
        contexts: `inputs.intent` and the like, by expression.
        steps: the ids and outcomes of steps that ran, with their outputs.
    """

    clone: Path
    temp: Path
    contexts: Mapping[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def run(self, path: Path, job: str, before: Mapping[str, Callable[[], None]] | None = None) -> bool:
        """Run the job's shell steps in order; tells whether all of them succeeded.

        Args:
            path: the workflow file.
            job: the job's key.
            before: called before the step of that name.
        """
        fine = True
        for number, step in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"][job]["steps"]):
            script = step.get("run", "")
            if not script or script.startswith(_MACHINE) or not self._is_due(step, fine=fine):
                continue
            (before or {}).get(step.get("name", ""), lambda: None)()
            identity = step.get("id", f"step-{number}")
            fine = self._step(identity, script, step.get("env", {})) and fine
        return fine

    def _is_due(self, step: Mapping[str, Any], *, fine: bool) -> bool:
        condition = step.get("if")
        if condition is None:
            return fine
        found = re.fullmatch(r"always\(\) && steps\.(\w+)\.outcome == 'success'", condition)
        assert found, f"this runner does not know {condition}"
        return self.outcomes.get(found[1]) == "success"

    def _step(self, identity: str, script: str, env: Mapping[str, str]) -> bool:
        files = {name: self.temp / f"{identity}.{name}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.touch()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.temp),
            "RUNNER_TEMP": str(self.temp),
            **{name: str(file) for name, file in files.items()},
            **{name: self._filled(text) for name, text in env.items()},
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.clone,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=STEP_SECONDS_MAX,
        )
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        self.outputs[identity] = dict(line.split("=", 1) for line in lines)
        self.outcomes[identity] = "success" if done.returncode == 0 else "failure"
        self.log += done.stdout + done.stderr
        return done.returncode == 0

    def _filled(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self._value(match[1]), text)

    def _value(self, expression: str) -> str:
        if found := re.fullmatch(r"steps\.(\w+)\.outputs\.(\w+)", expression):
            return self.outputs.get(found[1], {}).get(found[2], "")
        return self.contexts[expression]
