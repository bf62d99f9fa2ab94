# Every target says what it does while it does it. The environment lives in .venv and is made once:
# it is made anew when pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV := .venv
OTHER_VENV := .venv-integrations
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The files in their order: the long ones come first, and the unit tests fill up what is left.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-all test-integrations mutants lint format bench bench-full bench-check bench-accept bench-pages serve clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("argus-tasks needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@echo "==> making $(VENV) with the pinned versions of constraints.txt (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,examples,bench]'
	@touch $@

setup: $(STAMP) ## make .venv with everything the other targets need

demo: $(STAMP) ## run the forecast benchmark end to end: its leaderboard, and a report
	@echo "==> running examples/forecast: every run a Prefect task run, every result a folder"
	@$(BIN)/argus-tasks run examples/forecast/sweep.yaml
	@$(BIN)/argus-tasks results examples/forecast/results
	@$(BIN)/argus-tasks report examples/forecast/results

test: $(STAMP) ## the tests without the slow ones (under 10 minutes on two cores)
	@echo "==> tests (without those marked slow)"
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: test ## make test, and the slow rest
	@echo "==> the slow tests"
	@$(BIN)/python -m pytest -m slow $(PARALLEL)

$(OTHER_VENV)/.installed: pyproject.toml constraints.txt constraints-integrations.txt
	@echo "==> making $(OTHER_VENV), with what is too heavy for $(VENV) (minutes, once)"
	@test -x $(OTHER_VENV)/bin/python || $(PYTHON) -m venv $(OTHER_VENV)
	@$(OTHER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-integrations.txt -e '.[dev-integrations]'
	@touch $@

test-integrations: $(OTHER_VENV)/.installed ## the tests of what is too heavy for the others: frameworks, mode ray
	@echo "==> Lightning, Keras, Hydra and the like, in real trainings; mode ray"
	@$(OTHER_VENV)/bin/python -m pytest tests/integrations tests/faults/test_ray.py $(PARALLEL)

mutants: $(STAMP) ## whether the tests notice the faults of tests/mutants.toml (an hour; ONLY=Outbox: those that have the word)
	@echo "==> a fault at a time, in a copy of the tree"
	@$(BIN)/python -m tests.mutants $(ONLY)

$(VENV)/.docs-installed: $(STAMP)
	@echo "==> adding what makes the site to $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs-installed ## the documentation as a site, site/index.html; a broken link fails it
	@echo "==> building site/ from docs/"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html; with its search: $(BIN)/python -m http.server -d site"

lint: $(STAMP) ## ruff and mypy --strict
	@echo "==> ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> mypy --strict"
	@$(BIN)/mypy

format: $(STAMP) ## let ruff format and sort imports
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(STAMP) ## what it all costs, beside the peers, in one run (under 10 minutes); makes docs/performance.md
	@$(BIN)/python -m benchmarks.suite

bench-full: $(STAMP) ## the same in full, also at 10,000 configs (an hour or more; with Ray where make test-integrations has been)
	@$(BIN)/python -m benchmarks.suite --full

bench-check: $(STAMP) ## measure, and fail where a ratio is worse than the accepted one by more than noise
	@$(BIN)/python -m benchmarks.suite --check

bench-accept: $(STAMP) ## accept the ratios of the last make bench, for bench-check
	@$(BIN)/python -m benchmarks.check --accept

bench-pages: $(STAMP) ## make docs/performance.md and the README's table again from the last results
	@$(BIN)/python -m benchmarks.page

serve: $(STAMP) ## serve sweep/default and benchmark/nightly from this process until Ctrl-C
	@$(BIN)/python -m deployments.serve

clean: ## remove .venv, caches and the examples' results
	@echo "==> removing $(VENV), caches and the examples' results"
	@rm -rf $(VENV) $(OTHER_VENV) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis examples/*/results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
