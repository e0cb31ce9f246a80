# Every target sets up what it needs; `make demo` on a fresh clone is the newcomer's first command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.optr-ready

.PHONY: interleave setup demo serve test bench crash faults storm crash-ledger mutate verify-ledger check format lock docs readme clean
.DEFAULT_GOAL := setup

setup: $(STAMP)  ## prepare .venv with hash-locked dependencies

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("OPTR needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## four agents race for a real bug fix: no key, no network; KEEP=DIR leaves the repository there
	@$(BIN)/optr demo $(if $(KEEP),--keep "$(KEEP)")

serve: $(STAMP)  ## start the GitHub App (settings: docs/configuration.md)
	@$(BIN)/optr serve

test: $(STAMP)  ## every test but the long proofs named in docs/testing.md
	$(BIN)/python -m tools.node_setup
	$(BIN)/pytest -n 2 --dist worksteal

bench: $(STAMP)  ## the ledger's costs side by side (docs/benchmarks.md); OPTR_BENCH_SIZES=1000,20000 makes it short
	$(BIN)/python -m benchmarks.bench_ledger
	$(BIN)/python -m benchmarks.bench_clean_room
	$(BIN)/python -m tools.node_setup tests/probot
	$(BIN)/python -m benchmarks.bench_webhooks

interleave: $(STAMP)  ## seeded orders of events around runs, many of them (docs/testing.md)
	OPTR_TEST_SEEDS=5000 $(BIN)/pytest tests/bot/test_interleavings.py

crash: $(STAMP)  ## kill the App at every point, twice, and at random, on both databases (docs/reliability.md)
	$(BIN)/python -m tools.node_setup
	OPTR_CRASH_ALL=1 OPTR_CRASH_KILLS=$(or $(KILLS),200) $(BIN)/pytest -vv -n 2 tests/e2e/test_kills_in_number.py \
		tests/e2e/test_stopped_at_any_stage.py tests/e2e/test_stale_state.py

faults: $(STAMP)  ## every fault at every call of a run (docs/reliability.md)
	$(BIN)/python -m tools.node_setup
	OPTR_FAULTS_ALL=1 $(BIN)/pytest -vv tests/e2e/test_faulty_github.py

storm: $(STAMP)  ## 10,000 deliveries, most of them duplicates or hostile (docs/reliability.md); DELIVERIES=1000 sends fewer
	$(BIN)/python -m tools.node_setup
	OPTR_STORM=$(or $(DELIVERIES),10000) OPTR_STORM_PAGE=docs/reliability.md $(BIN)/pytest -vv tests/e2e/test_storm.py

crash-ledger: $(STAMP)  ## the long form of the ledger's crash proofs (docs/testing.md)
	OPTR_CRASH_ROUNDS=20 OPTR_HYPOTHESIS=nightly $(BIN)/pytest tests/ledger/test_killed_writers.py tests/ledger/test_ledger_machine.py

verify-ledger: $(STAMP)  ## the long form of the proofs that no changed byte goes unnoticed (docs/testing.md)
	OPTR_FLIPS=$(or $(FLIPS),1) OPTR_HYPOTHESIS=nightly $(BIN)/pytest tests/ledger/test_sweep.py tests/ledger/test_verify_options.py

mutate: $(STAMP)  ## what the tests of PACKAGE=ledger would miss (docs/testing.md); ARGS=--again asks anew about survivors
	$(BIN)/python -m tools.mutate $(PACKAGE) $(ARGS)

check: $(STAMP)  ## ruff, mypy strict, import layers, size gate, the rules of durable workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/size_gate.py
	$(BIN)/python -m tools.flow_lint

docs: $(STAMP)  ## write the parts of the documentation that are made from code
	$(BIN)/python -m tools.docs

readme: $(STAMP)  ## run the demo and put its comparison into the README
	$(BIN)/python -m tools.docs --demo

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## resolve requirements anew, with hashes and without any registry host
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --extra dev -c requirements/run.txt -o requirements/dev.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
