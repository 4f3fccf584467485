# Everything here works on a machine with Python 3.10 or newer, pip and make; uv is used where it is there.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# The tests start more than a thousand interpreters. Without compiled modules each of them would compile all of ours.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run test test-fast test-pythons coverage check types lint format schema docs audit properties soak innocents bench bench-sides bench-costs bench-quick clean

help:  ## Show what there is
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable '.[http,local,metrics,web]' --group dev
	touch $(STAMP)

install: $(STAMP)  ## Make a virtual environment with everything in it

run: $(STAMP)  ## Run docket.toml on the embedded server
	$(BIN)/docket-supervisor --config docket.toml

check: lint types  ## Lint and check types

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/pyright

format: $(STAMP)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: $(STAMP)  ## Write the schema and the reference of docket.toml again
	$(BIN)/python -m docket.config.describing.schema
	$(BIN)/python -m docket.config.describing.reference

test: check  ## Everything: lint, types, all servers, faults, the oldest Python
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone
	$(BIN)/python -m tests.pythons --oldest

coverage: $(STAMP)  ## The same tests on this Python once more, and the lines that none of them reaches
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -n 4 --dist worksteal -m "not alone"
	$(BIN)/python -m coverage run -m pytest -m alone
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under 100

test-fast: $(STAMP)  ## The fast lane: the in-memory backend, some minutes
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not (fleet or fault or thorough or alone)"

test-pythons: $(STAMP)  ## The fast lane on every Python from 3.10 to 3.13 that this machine has
	$(BIN)/python -m tests.pythons

docs: $(STAMP)  ## Build the API reference from the docstrings, into build/reference
	$(BIN)/python -m tests.docs.reference build/reference

audit: $(STAMP)  ## Look up known vulnerabilities of the locked dependencies; needs the network
	$(BIN)/python -m pip install --quiet --group audit || true
	$(BIN)/python -m tests.audit

properties: $(STAMP)  ## The property tests, for half an hour instead of a minute
	DOCKET_PROPERTIES=thorough $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 2400 --fleet memory tests/properties

soak: $(STAMP)  ## Ten minutes under random faults: SOAK=seconds, SEED=number, SERVER=cluster
	SERVER=$(SERVER) $(BIN)/python -m tests.faults.soaking $(or $(SOAK),600) $(SEED)

innocents: $(STAMP)  ## Fifty tasks that kill their process, beside innocents (an hour)
	DOCKET_INNOCENTS=50 $(BIN)/python -m pytest -q tests/faults/test_f31_suspects.py

bench: $(STAMP)  ## Measure us and the peers in one run
	$(BIN)/python -m benchmarks

bench-sides: $(STAMP)  ## Hold two checkouts against each other: BEFORE=dir [AFTER=dir]
	$(BIN)/python -m benchmarks.side_by_side $(BEFORE) $(or $(AFTER),.)

bench-costs: $(STAMP)  ## Measure what history and the bound of results cost: off against on
	$(BIN)/python -m benchmarks.costs

bench-quick: $(STAMP)  ## Measure us and pydocket, in three minutes
	$(BIN)/python -m benchmarks --quick

clean:  ## Remove what was built
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis
