# make demo: the main job on real data, into demo-output/.   make test: the whole suite.
# Variables: PYTHON (3.11 or newer), OUT (folder of the demo), TORCH (another build of torch).
PYTHON ?= python3
OUT ?= demo-output
TORCH ?= $(shell grep '^torch==' constraints.txt)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo article test check install dashboard clean
help:
	@grep -E '^# make|^# Var' Makefile | cut -c3-
	@echo "make article, make check (lint and types), make install, make dashboard (needs Node.js 20), make clean"

demo: $(READY)
	$(BIN)/whyrec demo --out $(OUT)

article: $(READY)
	$(BIN)/whyrec article

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

install: $(READY)

# The pages of the service: built from dashboard/, committed, part of the wheel.
dashboard:
	cd dashboard && npm ci && npm run build

# torch comes first and pinned: anything that asks for plain torch before it may pull gigabytes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "whyrec needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); } \
	  || { echo "no virtual environment could be made; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing (a few minutes the first time) ..."
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dashboard/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
