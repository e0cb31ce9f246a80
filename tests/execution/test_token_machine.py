"""A dispatch token under any story of issues, uses, crashes and late arrivals: one consumer, in time, for one act."""

import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from execution.store import Store
from governance.codes import ReasonCode, RefusedError
from governance.tokens import DispatchToken, check, mint
from tests.governance.conftest import a_mandate

A = "a" * 64
DEADLINE_MS = 100
NODES = ["A1", "A2", "A3"]


class Tokens(RuleBasedStateMachine):
    """Tokens of three nodes in a database that is closed and opened, a clock, and who consumed what."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="optr-tokens-"))
        self.store = self.opened()
        self.now_ms = 0
        self.minted: dict[str, DispatchToken] = {}
        self.consumers: dict[str, str] = {}

    def opened(self) -> Store:
        return Store(f"sqlite:///{self.home / 'state.db'}", lasting=False)

    @initialize(node=st.sampled_from(NODES), expires_ms=st.integers(1, 200))
    def begin(self, node: str, expires_ms: int) -> None:
        self.issue(node, expires_ms)

    @rule(node=st.sampled_from(NODES), expires_ms=st.integers(1, 200))
    def issue(self, node: str, expires_ms: int) -> None:
        token = mint(a_mandate(node, DEADLINE_MS), "repo.write", expires_ms=expires_ms, nonce=f"{node}-{expires_ms}")
        assert token.expires_ms == min(expires_ms, DEADLINE_MS)
        self.store.issue_token(token.id)  # a second time, it does not become fresh again
        self.minted[token.id] = token

    @rule(data=st.data(), node=st.sampled_from(NODES), consumer=st.sampled_from(["first", "second"]))
    def use(self, data: st.DataObject, node: str, consumer: str) -> None:
        token = self.minted[data.draw(st.sampled_from(sorted(self.minted)))]
        presented = {"run": "run", "node": node, "attempt": 1, "agent": "codex", "capability": "repo.write"}
        act = partial(check, token, **presented, inputs_digest=token.inputs_digest, now_ms=self.now_ms)
        if token.node != node or self.now_ms >= token.expires_ms:
            with pytest.raises(RefusedError) as caught:
                act()
            wrong = token.node != node
            assert caught.value.code == (ReasonCode.DISPATCH_WRONG_NODE if wrong else ReasonCode.DISPATCH_EXPIRED)
            return
        act()
        first = self.consumers.setdefault(token.id, consumer)
        assert self.store.consume_token(token.id, consumer) == (first == consumer)

    @rule(consumer=st.sampled_from(["first", "second"]))
    def forge(self, consumer: str) -> None:
        assert not self.store.consume_token("f" * 64, consumer)

    @rule(passed_ms=st.integers(1, 60))
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    @rule()
    def crash(self) -> None:
        self.store.close()
        self.store = self.opened()

    @invariant()
    def what_is_consumed_stays_with_its_consumer(self) -> None:
        for token, consumer in self.consumers.items():
            assert self.store.consume_token(token, consumer)
            assert not self.store.consume_token(token, "a third")

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)


TestTokens = Tokens.TestCase
TestTokens.settings = hypothesis_settings(max_examples=12, stateful_step_count=15, deadline=None)
