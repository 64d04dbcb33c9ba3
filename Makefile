# `make demo` and `make test` need git, make and Python 3.11 or newer; each makes its own environment.
#
#   make PYTHON=python3.13 test       another interpreter (an existing environment is made anew)
#   make test ARGS="-k cookie -x"     arguments for pytest
#   make test ARGS=-n0                the tests in one process, for a debugger
#   make lock ARGS=--upgrade          newer versions of everything that is pinned

VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
# A browser that was here before keeps its cookie, and the collector of this time has not made it.
BESIDE_COLLECTOR := $(BIN)/passerby collect --port 0 --accept-any-browser-id --
# Tests mostly wait; tests/conftest.py says how many processes `auto` means. A process that is done takes over from others.
PARALLEL := -n auto --dist worksteal
SOURCES := $(wildcard src tests benchmarks chaos examples)
VECTORS := $(firstword $(wildcard ../shared/vectors/engage.jsonl) tests/conformance/engage.jsonl)
EDGE_VECTORS := $(firstword $(wildcard ../shared/vectors/sitecore_edge.jsonl) tests/conformance/edge/sitecore_edge.jsonl)
CUSTOMERIO := tests/conformance/customerio/customerio.jsonl
CUSTOMERIO_VECTORS := $(firstword $(wildcard ../shared/vectors/customerio.jsonl) $(CUSTOMERIO))

# Tests and demo start hundreds of processes, each of which would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo example-django example-flask example-fastapi test env node lint format types check coverage conformance bench chaos pictures lock clean

help:
	@echo "make demo         start a small shop and watch its events arrive"
	@echo "make example-django, example-flask, example-fastapi"
	@echo "                  start a small site and watch its events arrive"
	@echo "make test         run the tests"
	@echo "make check        lint, formatting and strict types"
	@echo "make format       put the code into shape"
	@echo "make coverage     run the tests and say which lines they miss"
	@echo "make conformance  replay what the vendors' own SDKs send"
	@echo "make bench        measure"
	@echo "make chaos        try what becomes of events when things go wrong"
	@echo "make pictures     take the pictures of the page anew, with the system's Chromium"
	@echo "make env          make the whole environment in $(VENV)"
	@echo "make node         install the npm packages that some tests need"
	@echo "make lock         write requirements/*.txt anew"
	@echo "make clean        remove what the commands above have made"

demo: $(VENV)/demo.stamp
	$(BIN)/passerby demo $(ARGS)

example-django: $(VENV)/test.stamp
	$(BIN)/python examples/django_app/manage.py migrate --verbosity 0
	$(BESIDE_COLLECTOR) $(BIN)/python examples/django_app/manage.py runserver --noreload $(ARGS)

example-flask: $(VENV)/test.stamp
	$(BESIDE_COLLECTOR) $(BIN)/flask --app examples/flask_app/newsletter run $(ARGS)

example-fastapi: $(VENV)/test.stamp
	$(BESIDE_COLLECTOR) $(BIN)/uvicorn --app-dir examples/fastapi_app main:app $(ARGS)

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

env: $(VENV)/dev.stamp

lint: env
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: env
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

types: env
	$(BIN)/mypy $(SOURCES)
	$(BIN)/pyright --pythonpath $(BIN)/python
	scripts/check-types $(BIN)/python

check: lint types

coverage: $(VENV)/test.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

conformance: $(VENV)/test.stamp
	$(BIN)/python -m tests.conformance $(VECTORS)
	$(BIN)/python -m tests.conformance $(EDGE_VECTORS)
	$(BIN)/python -m tests.conformance $(CUSTOMERIO_VECTORS)

bench: env
	$(BIN)/python -m benchmarks $(ARGS)

chaos: env
	$(BIN)/python -m chaos $(ARGS)

pictures: $(VENV)/test.stamp
	$(BIN)/python -m tests.browser.pictures

node: tests/conformance/node_modules/.package-lock.json

lock: $(VENV)/lock.stamp
	PATH="$(abspath $(BIN)):$$PATH" scripts/lock $(ARGS)

clean:
	rm -rf .venv .venv-* .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	rm -rf tests/conformance/node_modules examples/django_app/shop.sqlite3
	find src tests -name __pycache__ -type d -exec rm -rf {} +

# An environment remembers what is installed by one stamp per requirements file; dev.txt holds what test.txt and
# demo.txt hold. PYTHON, when given, is compared with the interpreter the environment was made from.

ifdef PYTHON
$(VENV)/made.stamp: $(if $(shell scripts/find-python "$(PYTHON)" 2>/dev/null | cmp -s - $(VENV)/made.stamp || echo differs),FORCE)
endif

FORCE:

$(VENV)/made.stamp:
	@python=$$(scripts/find-python $(if $(PYTHON),"$(PYTHON)")) && \
	    echo "Making $(VENV) with $$python" && \
	    "$$python" -m venv --clear $(VENV) && \
	    echo "$$python" > $@

$(VENV)/%.stamp: requirements/%.txt pyproject.toml $(VENV)/made.stamp
	@echo "Installing requirements/$*.txt into $(VENV)"
	@$(PIP) install --require-hashes --requirement requirements/$*.txt
	@$(if $(filter lock,$*),,$(PIP) install --no-build-isolation --no-deps --editable .)
	@touch $@ $(if $(filter dev,$*),$(VENV)/test.stamp $(VENV)/demo.stamp)

tests/conformance/node_modules/.package-lock.json: tests/conformance/package-lock.json
	cd tests/conformance && npm ci --no-audit --no-fund
	@touch $@
