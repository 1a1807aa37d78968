# make help lists the targets. Everything runs in .venv, which is made once from constraints.txt.

PYTHON ?= python3
STUDY ?=
PRESET ?= laptop
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install replicate test test-long lab check readme bench lint

help: ## this list
	@echo "make replicate             every study at its laptop preset, into versioned reports"
	@echo "make replicate STUDY=lottery_ticket PRESET=smoke"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1|/' | column -t -s '|'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Redraw needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(READY) ## set up .venv

replicate: $(READY) ## get the data, run the studies, say where the board is
	@$(BIN)/redraw run $(or $(STUDY),--all) --preset $(PRESET) || [ $$? -eq 3 ] # claims blocked for want of data are told

test: $(READY) ## unit tests, then nbval over the notebooks
	@$(BIN)/pytest tests --ignore=tests/benchmarks -n logical --maxprocesses 4 --dist loadfile
	@$(BIN)/pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks
	@$(BIN)/redraw check

test-long: $(READY) ## the tests that take minutes: calibration and kills, in full
	@$(BIN)/pytest tests --ignore=tests/benchmarks -m long --timeout 3600

lab: $(READY) ## JupyterLab on notebooks/, on localhost with its token
	@$(BIN)/redraw lab

check: $(READY) ## cards, notebooks, committed reports and their manifests
	@$(BIN)/redraw check

readme: $(READY) ## the README's picture and table, from cards and reports
	@$(BIN)/python -m redraw.workbook._readme

bench: $(READY) ## the speed promises, as ratios within one run, into reports/benchmarks
	@REDRAW_BENCHMARKS=reports/benchmarks $(BIN)/pytest tests/benchmarks

lint: $(READY) ## ruff and the import contracts
	@$(BIN)/ruff check lib tests
	@$(BIN)/ruff format --check lib tests
	@$(BIN)/lint-imports
