# Every verb sets up what it needs: on a machine with only Python >= 3.11, pip, git and make, `make demo` and
# `make test` are all there is to type. Nothing is installed outside this folder.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check fmt docs bench soak wheel clean

# An activated environment or a user's settings must not move the one made here.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME UV_PYTHON
# The tests start Python hundreds of times: without byte code each start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# uv trusts the certificates that pip trusts, the system's; the older versions know it by the second name.
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
export PIP_USER := 0
export PIP_REQUIRE_VIRTUALENV := 0

BIN := .venv/bin
# Each processor runs tests of its own, and takes over what another has not come to. -n 0 runs them in turn.
SHARED := -n auto --maxprocesses 4 --dist worksteal --inline-snapshot disable
UV := .bootstrap/bin/uv
SYNC := $(UV) sync --frozen --quiet --all-extras
READY := .venv/.ready
PEERS := .venv/.peers

comma := ,

# The first interpreter on the path that is new enough and has pip; `make test PYTHON=/path/to/python` names
# another. Looked up only while setting up.
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)

help: ## show these verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

demo: $(READY) ## run the invoice intake on the sample documents (FILES="a.pdf b.pdf" takes yours)
	@$(BIN)/flujo demo $(ARGS) $(FILES)

test: $(READY) ## run the tests (ARGS="-k journal" narrows them)
	@$(BIN)/python -m pytest $(SHARED) $(ARGS)

check: $(READY) ## format, lint, types and import directions; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo

fmt: $(READY) ## format the code and mend what the linter can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(READY) ## run every code block of the docs and refresh the reference pages
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/cli.py
	$(BIN)/python -m pytest $(SHARED) tests/docs $(ARGS)

# Only a comparison with other systems needs them installed: ONLY=flujo,raw is quick from a fresh clone.
bench: $(if $(filter-out flujo raw,$(if $(ONLY),$(subst $(comma), ,$(ONLY)),all)),$(PEERS),$(READY)) ## measure beside other systems (ONLY=flujo,raw is quick)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)
	$(BIN)/python -m benchmarks.turn

soak: $(READY) ## the long runs that `make test` leaves out
	$(BIN)/python -m pytest -m soak --timeout 1800 $(ARGS)

wheel: $(READY) ## build the wheels and the source archives into dist/
	$(UV) build --quiet --all-packages

clean: ## remove the environment and everything built
	rm -rf .venv .bootstrap build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# `pip install --target` needs no rights, no venv module, and is allowed where Python is managed by the system.
$(UV):
	@test -n "$(PYTHON)" || { echo 'Flujo needs Python 3.11 or newer with pip on the PATH (or make PYTHON=/path/to/python).' >&2; exit 1; }
	@echo 'Setting up (once) ...' >&2
	@"$(PYTHON)" -m pip install --quiet --disable-pip-version-check --no-warn-script-location \
		--root-user-action=ignore --upgrade --target .bootstrap 'uv>=0.8,<1'

# The interpreter is chosen once; naming it at each sync would make the environment anew each time.
$(READY): pyproject.toml uv.lock | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --clear --python "$(PYTHON)" .venv
	@$(SYNC)
	@touch $@

$(PEERS): $(READY)
	@$(SYNC) --group bench
	@touch $@
