# Each target sets up what it needs, once: a virtual environment in .venv, anew when a requirement changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
# The schemas are among them: an editable install generates the stubs, and keeps old ones until it is made anew.
REQUIREMENTS := pyproject.toml constraints.txt protos/build.py $(shell find protos -name '*.proto')

.PHONY: help demo test check bench soak protos clean

help: ## Print this help
	@echo "sardonyx: from a scikit-learn model to a gRPC service whose accuracy is watched"
	@echo
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: .venv/demo ## The whole life of a model on real data; ONCE=1 ends by itself, otherwise Ctrl-C
	@$(BIN)/python examples/flights/demo.py $(if $(ONCE),--once)

test: .venv/dev ## All tests; some need a Chromium or Node, and are skipped without; ARGS="-n 0 FILE" for one
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: .venv/dev ## ruff, mypy --strict and the proto checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy protos/sardonyx server exporter monitor tests examples benchmarks
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf format --diff --exit-code

bench: .venv/dev ## Side by side with a bare grpc.aio server; needs h2load (Debian: nghttp2-client)
	@$(BIN)/python benchmarks/bench.py $(ARGS)

soak: .venv/dev ## Every fault under load for ten minutes, and what callers saw; ARGS="--minutes 1" for less
	@cd tests && ../$(BIN)/python -m soak $(ARGS)

protos: .venv/dev ## Generate the stubs anew (the others do so after a change to a .proto)
	@$(BIN)/python protos/build.py

clean: ## Remove everything that the other targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis var dist build
	@find protos \( -name '*_pb2*.py' -o -name '*_pb2*.pyi' -o -name '*.binpb' \) -delete
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/demo: $(REQUIREMENTS)
	@$(call install,demo)

.venv/dev: $(REQUIREMENTS)
	@$(call install,dev)

define install
test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
echo "Installing sardonyx[$(1)] into .venv (a minute or two, once) ..."; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(1)]'; \
touch $@
endef
