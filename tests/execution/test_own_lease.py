"""Who counts as dead among the processes that share a PostgreSQL."""

import time

from execution.leases import Leases
from execution.store import Store
from tests.postgres import Postgres, as_sqlalchemy

LEASE_S = 0.01


def test_a_process_that_stalled_for_longer_than_its_lease_does_not_take_over_from_itself(postgres: Postgres) -> None:
    store = Store(as_sqlalchemy(postgres.database()))
    slow, other = Leases(store, "slow", "here:1", LEASE_S), Leases(store, "other", "here:2", LEASE_S)
    slow.beat()
    other.beat()
    time.sleep(5 * LEASE_S)
    assert slow.dead(["slow", "other", "gone"]) == ["gone", "other"]
    assert other.dead(["slow", "other", "gone"]) == ["gone", "slow"]
    slow.beat()
    Leases(store, "slow", "here:1", 60.0).beat()
    assert Leases(store, "third", "here:3", 60.0).dead(["slow", "gone"]) == ["gone"]
    store.close()
