"""A witness as somebody else runs it, and one that thinks long before it answers."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.service import ROOT

NAME = "witness.example/ours"
THEIRS = "witness.example/theirs"


@contextmanager
def witness(home: Path, logs: Path, port: int, name: str = NAME) -> Iterator[str]:
    """A running witness; its line for a policy."""
    args = [str(home / name.partition("/")[2]), "--name", name, "--logs", str(logs), "--port", str(port)]
    command = [sys.executable, "-m", "bot.cli", "witness", "serve", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as served:
        try:
            assert served.stdout is not None
            assert served.stderr is not None
            said = served.stdout.readline().strip()
            served.stderr.readline()
            yield said
        finally:
            served.terminate()
            served.communicate(timeout=30)


@contextmanager
def slowly(port: int, target: str, seconds: float) -> Iterator[list[int]]:
    """Pass each request on after some seconds; the statuses of the answers, as they are given."""
    given: list[int] = []

    class Passing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(seconds)
            asked = urllib.request.Request(f"{target}{self.path}", data=body, method="POST")
            try:
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    status, kind, content = answer.status, answer.headers["Content-Type"], answer.read()
            except urllib.error.HTTPError as error:
                status, kind, content = error.code, error.headers["Content-Type"], error.read()
            given.append(status)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Passing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield given
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
