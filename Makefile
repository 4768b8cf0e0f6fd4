# Two commands matter: `make run` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test faults lock audit docs verify verify-mpe bench bench-pypsa setup
.DEFAULT_GOAL := run

run: setup  ## run the quickstart study, print its summary, write its report
	$(BIN)/hmarl run studies/quickstart/study.yaml
	$(BIN)/hmarl report runs/quickstart

test: setup  ## format, lint, types, imports, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

faults: setup  ## the long search for faults: fuzzing, kills, full disks, solvers in trouble (tests/faults/README.md)
	HMARL_FAULTS=long $(BIN)/pytest tests/faults -m "slow or not slow" -n 0

lock: setup  ## write requirements.lock anew from constraints.txt: all wheels, with their hashes on the package index
	$(BIN)/python tests/faults/lock.py requirements.lock

audit: setup  ## weaknesses known of the locked versions, where the package index can be asked; unknown is never clean
	$(BIN)/python tests/faults/audit.py requirements.lock

docs: setup  ## these pages and the reference of every module as a website: docs/_build/index.html (extra docs)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

verify: setup  ## long verification runs
	$(BIN)/pytest -m slow -n 2

verify-mpe: setup  ## of these the public benchmark alone (extra mpe): mappo, maddpg and a3c3 on two tasks of mpe2
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,mpe]'
	$(BIN)/pytest tests/hmarl/arenas/test_mpe2.py -m slow -n 2 -rP

bench: setup  ## speed tests: ratios within one process
	$(BIN)/pytest tests/speed -p no:randomly -m "slow or not slow" -s

bench-pypsa: setup  ## one hour of case118 here and in PyPSA, which gets an environment of its own
	test -x .venv-pypsa/bin/python || $(PYTHON) -m venv .venv-pypsa
	.venv-pypsa/bin/python -m pip install --quiet pypsa highspy
	$(BIN)/python tests/speed/against_pypsa.py .venv-pypsa/bin/python

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hmarl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing)." \
	       "Install one and say: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# LOCKED=1: only files whose hashes are in requirements.lock, then the project alone
	if [ -n "$(LOCKED)" ]; then \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .; \
	else $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'; fi
	@touch $(STAMP)
