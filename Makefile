# Everything runs in .venv, made from hashed locks. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITE = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PROTOS := $(sort $(wildcard protos/facepass/v1/*.proto))

.DEFAULT_GOAL := help
.PHONY: help setup protos locks format lint test

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready ## Make .venv with everything in it.

$(VENV)/.ready: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

protos: setup ## Generate client/facepass/v1 from protos/.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos -I $(SITE) \
	  --python_out=client --pyi_out=client --grpc_python_out=client --mypy_grpc_out=client $(PROTOS)

locks: ## Resolve requirements/dev.lock again.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate --quiet \
	  --extra cpu --extra starter --group dev pyproject.toml -o requirements/dev.lock

test: setup ## Run the tests.
	$(BIN)/pytest
