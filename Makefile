# `make` alone lists the targets.

VENV := .venv
BIN  := $(VENV)/bin
# make uses the first of these that is 3.11 to 3.13 and can create virtual environments
PYTHONS ?= python3.13 python3.12 python3.11 python3 python /usr/bin/python3
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# where the project installs its own Python on a machine that has none of these
OWN := .python
SOURCE ?= auto
SECRETS ?= secrets
MINUTES ?= 5
SEED ?=
SIZES ?= 1000,20000,100000
JSON ?= benchmarks/results.json
WORKERS ?= 2
# each process has services of its own; a file's tests stay together, in the order of tests/conftest.py
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help venv install run test test-fast test-captured test-crash prove chaos fuzz lint errors data bench stack down reset secrets lock lock-jars clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Luigi does not support Python 3.14. On a machine that has nothing older, any Python can install the
# uv of requirements.txt, and uv downloads a Python that fits.
define CREATE_VENV
@! $(BIN)/python -c "import pip; $(FITS)" 2>/dev/null || exit 0; \
find_python() { \
	for python in $(PYTHONS) $(OWN)/cpython-*/bin/python3; do \
		"$$python" -c "$(FITS)" && return; \
	done; \
	return 1; \
}; \
fetch_python() { \
	$(OWN)/uv/bin/uv --version || { \
		"$$any" -m venv --clear $(OWN)/uv && \
		sed -n '/^uv==/,/# via/p' requirements.txt | $(OWN)/uv/bin/python -m pip install \
			--disable-pip-version-check --only-binary :all: --require-hashes -r /dev/stdin; \
	} && \
	$(OWN)/uv/bin/uv python install --no-bin --no-cache --install-dir $(OWN) 'cpython>=3.11,<3.14' && \
	rm -r $(OWN)/uv && find_python; \
}; \
if ! find_python 2>/dev/null; then \
	for any in $(PYTHONS) python3 python; do \
		"$$any" -c 'import ensurepip, venv' 2>/dev/null && break; any=; \
	done; \
	none="No Python 3.11, 3.12 or 3.13 with venv was found as: $(PYTHONS)."; \
	named="name it: make PYTHONS=/path/to/python"; \
	[ -n "$$any" ] || { echo "$$none Install one (Debian: apt install python3-venv), or $$named"; exit 1; }; \
	echo "$$none Fetching one with uv into $(OWN): about 55 MB to download."; \
	mkdir -p $(OWN) && fetch_python >$(OWN)/log 2>&1 || { \
		why=$$(tail -n 1 $(OWN)/log | sed 's/^ *[A-Za-z]*: //'); \
		echo "No Python could be fetched ($$why; more in $(OWN)/log). Try again with a network, or install Python 3.13 and $$named"; \
		exit 1; \
	}; \
fi; \
echo "Creating $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV)
endef

venv:
	$(CREATE_VENV)

$(VENV)/.installed: requirements.txt setup.py
	$(CREATE_VENV)
	@echo "Installing the pinned packages: 0.7 GB to download the first time, 1 to 5 minutes."
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --use-pep517 -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/.installed  ## create .venv and install the pinned packages

run: install  ## a correct day of users: stack up, schemas, RunDaily for today; SOURCE=real|standin
	@$(BIN)/workflow stack up
	@$(BIN)/workflow init-db
	@url=$$($(BIN)/workflow stack source $(SOURCE)) && $(BIN)/workflow run --source-url $$url

test: install  ## the whole suite, in two processes with services of their own
	@$(PYTEST)

test-fast: install  ## all quick tests that need no server
	@$(PYTEST) -m "not services"

test-captured: install  ## run captured API responses through all engines
	@$(BIN)/python -m pytest -rP tests_captured

test-crash: install  ## all tests of crashes, races and failing services, about half an hour
	@$(BIN)/python -m pytest --full tests/exactness

prove: install  ## watch one day's run being killed ten times, and compare: about a minute
	@$(BIN)/python -m tests.exactness.prove

chaos: install  ## kill the pipeline at random and compare; MINUTES=5 SEED=number
	@$(BIN)/python -m tests.exactness.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: install  ## send the pipeline anything, and look whether it does harm; MINUTES=10 SEED=number
	@$(BIN)/python -m tests.exactness.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: install  ## check formatting, lint, types and import direction
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

errors: install  ## write docs/errors.md from the sentences that the tests see
	@$(PYTEST) --write-errors tests/test_bad_input.py tests/test_bad_source.py \
		tests/test_cassandra_password.py

data: install  ## write docs/data.md from the home of columns, rules and statistics
	@$(BIN)/workflow data > docs/data.md.new && mv docs/data.md.new docs/data.md

bench: install  ## time a new date against its budget, and each step; SIZES=1000,20000 JSON=file
	@$(BIN)/python benchmarks/day.py
	@$(BIN)/python benchmarks/steps.py --sizes $(SIZES) --json $(JSON)

stack: install  ## start the local stack only
	@$(BIN)/workflow stack up

down: install  ## stop the local stack, keep its data
	@$(BIN)/workflow stack down

reset: install  ## stop the local stack and delete its data
	@$(BIN)/workflow stack reset

# Written once, never changed: the database in the volume keeps its password. libpq ignores a
# password file that other users can read.
secrets:  ## write the secret files of docker-compose.yml, with a new password, into SECRETS=secrets
	@[ ! -e $(SECRETS)/pgpass ] || { echo "$(SECRETS)/pgpass exists already and is kept."; exit 0; }; \
	umask 077 && mkdir -p $(SECRETS) && \
	password=$$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n') && \
	printf '%s' "$$password" > $(SECRETS)/postgres_password && \
	printf 'postgres:5432:warehouse:pipeline:%s\n' "$$password" > $(SECRETS)/pgpass

lock: install  ## resolve requirements.txt again from setup.py
	@$(BIN)/uv pip compile setup.py --extra stack --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements.txt

lock-jars: install  ## resolve config/cassandra-jars.lock again
	@$(BIN)/workflow stack lock-jars

clean: down  ## stop the stack, remove the virtual environment, .python/ and caches
	@rm -rf $(VENV) $(OWN) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
