"""A stand-in for GitHub's Copilot runtime: a program of its own that speaks the SDK's JSON-RPC over standard input.

It is told what to do by `scenario.json` beside it and writes down what it saw in `seen.jsonl`. Messages, names and
shapes are those of github-copilot-sdk 1.0.27 (protocol 3). It needs nothing but Python and knows nothing of OPTR.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any, BinaryIO

HERE = Path(sys.argv[0]).resolve().parent
UNKNOWN_METHOD = -32601
Message = dict[str, Any]


class Runtime:
    def __init__(self, scenario: Message, source: BinaryIO, sink: BinaryIO) -> None:
        self.scenario = scenario
        self.source = source
        self.sink = sink
        self.session = ""
        self.answered: dict[str, Message] = {}

    def note(self, kind: str, what: Any) -> None:
        with (HERE / "seen.jsonl").open("a") as file:
            file.write(json.dumps({kind: what}) + "\n")

    def send(self, message: Message) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.sink.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self.sink.flush()

    def read(self) -> Message:
        length = 0
        while line := self.source.readline().strip():
            length = int(line.split(b":")[1])
        if not length:
            sys.exit(0)  # the client has gone
        message: Message = json.loads(self.source.read(length))
        self.note("request", {"method": message.get("method"), "params": message.get("params")})
        return message

    def event(self, kind: str, data: Message) -> Message:
        made = {"type": kind, "id": str(uuid.uuid4()), "timestamp": "2026-11-21T00:00:00Z", "data": data}
        self.send({"method": "session.event", "params": {"sessionId": self.session, "event": made}})
        return made

    def serve(self) -> None:
        while True:
            self.handle(self.read())

    def handle(self, message: Message) -> None:
        method, params, number = message.get("method"), message.get("params") or {}, message.get("id")
        if number is None:
            return
        if method in self.scenario.get("refuse", {}):
            self.send({"id": number, "error": self.scenario["refuse"][method]})
        elif method == "connect":
            self.send({"id": number, "result": self.scenario.get("hello", HELLO)})
        elif method == "session.create":
            self.session = params["sessionId"]
            self.send({"id": number, "result": {"sessionId": self.session, "capabilities": {}}})
        elif method == "session.sendAndWait" and not self.scenario.get("legacy"):
            last = self.play("m1")
            response = {"aborted": False, "messageId": "m1", "response": last}
            self.send({"id": number, "result": response})
        elif method == "session.send":
            self.send({"id": number, "result": {"messageId": "m1"}})
            self.play("m1")
            self.event("session.idle", {})
        elif method in {"session.tools.handlePendingToolCall", "session.permissions.handlePendingPermissionRequest"}:
            self.answered[params["requestId"]] = params
            self.send({"id": number, "result": {"success": True}})
        elif method in {"session.options.update", "session.detach", "runtime.shutdown"}:
            self.send({"id": number, "result": {"success": True}})
        else:
            self.send({"id": number, "error": {"code": UNKNOWN_METHOD, "message": f"Unhandled method {method}"}})

    def wait_for(self, *requests: str) -> None:
        while not all(request in self.answered for request in requests):
            self.handle(self.read())

    def play(self, message_id: str) -> Message | None:
        last: Message | None = None
        for place, step in enumerate(self.scenario["steps"]):
            ((kind, what),) = step.items()
            if kind == "tools":  # all at once, as the runtime does
                for index, arguments in enumerate(what):
                    self.ask_tool(f"t{place}.{index}", arguments)
                self.wait_for(*(f"t{place}.{index}" for index in range(len(what))))
            elif kind == "permission":
                self.event("permission.requested", {"requestId": f"p{place}", "permissionRequest": what})
                self.wait_for(f"p{place}")
            elif kind == "say":
                data = {"content": what, "messageId": f"a{place}", "originatingMessageId": message_id}
                last = self.event("assistant.message", data)
            elif kind == "sleep":
                time.sleep(what)
            elif kind == "stderr":
                sys.stderr.write(what)
                sys.stderr.flush()
            elif kind == "exit":
                sys.exit(what)
            elif kind == "raw":
                self.sink.write(what.encode())
                self.sink.flush()
            else:
                self.event(kind, what)
        return last

    def ask_tool(self, request: str, arguments: Any) -> None:
        name = arguments.pop("_tool", "bash") if isinstance(arguments, dict) else "bash"
        asked = {"requestId": request, "sessionId": self.session, "toolCallId": f"c-{request}", "toolName": name}
        self.event("external_tool.requested", {**asked, "arguments": arguments})


HELLO = {"ok": True, "protocolVersion": 3, "version": "1.0.104"}


def main() -> None:
    scenario = json.loads((HERE / "scenario.json").read_text())
    runtime = Runtime(scenario, sys.stdin.buffer, sys.stdout.buffer)
    runtime.note("started", {"argv": sys.argv, "env": dict(os.environ), "cwd": str(Path.cwd()), "pid": os.getpid()})
    if "die" in scenario:
        sys.stderr.write(scenario["die"])
        sys.exit(3)
    runtime.serve()


if __name__ == "__main__":
    main()
