# Two commands matter: `make run` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin

FAST := -m pytest -n auto --maxprocesses=8 --dist=worksteal -m "not slow and not network and not slurm"
PACKAGES := slurm-wlm munge slurmdbd mariadb-server

.PHONY: help run test test-slurm slurm-packages check fast lowest lint smoke bench

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.installed  ## the main job: a checked ticket of a real MNIST network
	$(BIN)/lth-run experiment=mnist_fc

test: .venv/.installed-dev  ## the whole test-suite, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=8 --dist=worksteal -m "not slurm"

test-slurm: .venv/.installed-dev slurm-packages  ## sweeps on a real Slurm of one node, brought up for the tests
	$(BIN)/python -m pytest -m slurm

slurm-packages:  ## what test-slurm needs, by apt, where it is missing
	@dpkg -s $(PACKAGES) >/dev/null 2>&1 || { apt-get update -q && \
	DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(PACKAGES); }

check: .venv/.installed-dev  ## lint, types and the fast tests, at once
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint fast

fast: .venv/.installed-dev  ## the fast tests, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python $(FAST)

# UV_TORCH_BACKEND=cpu spares the download of CUDA
lowest: .venv/.installed  ## the fast tests, with the lowest Python and the lowest versions that pyproject.toml declares
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv venv --quiet --clear --seed --python 3.11 .venv/lowest
	$(BIN)/uv pip install --quiet --compile-bytecode --python .venv/lowest --resolution lowest-direct --editable '.[dev,onnx]'
	OMP_NUM_THREADS=1 .venv/lowest/bin/python $(FAST)

lint: .venv/.installed-dev  ## ruff and the type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

smoke: .venv/.installed  ## a tiny run that downloads nothing
	$(BIN)/lth-run experiment=smoke

bench: .venv/.installed  ## speed of the SubsetSum solvers, side by side, what a sweep costs, and of training tickets
	$(BIN)/python scripts/bench_subset_sum.py
	$(BIN)/python scripts/bench_sweep.py
	$(BIN)/python scripts/bench_imp.py

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
