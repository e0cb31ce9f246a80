"""One of several processes that reserve and count on one database: `budget_worker.py URL PLAN`, PLAN a JSON object.

`reserve`: ids of runs to reserve `amount` for, under the limit `cap` of everything. `fail`: how many failures of one
agent to count. `try`: how often to ask whether that agent may take part once it has cooled. It begins when a line comes
on standard input, and prints what it was given.
"""

import json
import sys
from typing import Any

from execution.breaker import COOL_MS, Breakers
from execution.reservations import Reservations
from execution.runs import Run, Source
from execution.spending import Caps, Scope
from execution.store import Store

AGENT = "1/claude"


def a_run(run_id: str) -> Run:
    return Run(
        id=run_id,
        source=Source.GITHUB,
        repository="octo/site",
        installation=1,
        workflow=run_id,
        requester="ada",
        title="t",
        intent_sha256="0" * 64,
        created_ms=0,
    )


def main(url: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Carry out the plan once the word is given."""
    store = Store(url)
    reservations, breakers = Reservations(store), Breakers(store)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    caps = Caps({Scope.EVERYTHING: plan.get("cap", 0)})
    asked = {name: reservations.reserve(a_run(name), plan["amount"], caps, 1000) for name in plan.get("reserve", ())}
    for _ in range(plan.get("fail", 0)):
        breakers.record(AGENT, failed=True, now_ms=0)
    admitted = sum(breakers.admit(AGENT, COOL_MS) for _ in range(plan.get("try", 0)))
    store.close()
    return {"reserved": [name for name, denied in asked.items() if denied is None], "admitted": admitted}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
