# Needs Python 3.11 or later, git and make; everything else goes into $(VENV).

VENV ?= .venv
PYTHON ?= python3
CORES ?= all
# Index to take torch from, such as https://download.pytorch.org/whl/cpu; empty for pip's own.
TORCH_INDEX ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.setup
WORKFLOW := Snakefile rules workflow
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow check format schema reference docs bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## make the environment (VENV=.venv PYTHON=python3 TORCH_INDEX=)

# torch comes first and alone, so that no other package's wish brings another build of it. The pip of a new
# environment of Python 3.11 would build some packages in an old way, in which their own build tools are missing.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("kdpipe needs Python 3.11 or later, found " + sys.version.split()[0] + ": give one with PYTHON=python3.11")'
	@echo "setting up $(VENV): a few minutes, about 2 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt $(TORCH_INDEX:%=--index-url %) torch
	$(BIN)/python -m pip install --quiet --use-pep517 -c constraints.txt -e '.[docs,lint,ship,slurm,test]'
	@touch $@

run: setup ## run the workflow on config.yaml (CORES=all)
	$(BIN)/snakemake --cores $(CORES)

test: setup ## run the tests of a commit: a few minutes
	$(PYTEST) --dist worksteal -m "not slow"

# In the order of the folders: the cluster, whose tests wait for each other, comes first and ends last.
test-slow: setup ## run the others: whole workflows, kills, hostile inputs, a cluster
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m slow

check: setup ## check format, lint, types, layers and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check $(WORKFLOW)
	$(BIN)/snakemake --lint

format: setup ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt $(WORKFLOW)

schema: setup ## write the JSON Schema of configs for editors
	$(BIN)/kdpipe schema > config/schema.json

reference: setup ## write docs/reference.md from the settings, docs/cli.md from the command line
	env -u KDPIPE_DATA $(BIN)/python -m kdpipe.commands.reference > docs/reference.md
	$(BIN)/python -c 'from kdpipe import cli; from kdpipe.commands.manual import manual; print(manual(cli._parser()))' > docs/cli.md

docs: setup ## make a site of docs/ in site/; every warning counts
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning docs site
	@echo "wrote site/index.html"

bench: run ## run the benchmarks, but that of a cluster
	$(BIN)/python -m pip install --quiet --use-pep517 -c constraints.txt -e '.[bench,offline,ship]'
	for benchmark in $(filter-out %/cluster.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$benchmark || exit; done
