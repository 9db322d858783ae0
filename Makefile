# Every target sets up .venv by itself, once; a changed pyproject.toml sets it up again.
#   make demo                          draw 200 photographs, load and augment them, write demo.png
#   make test                          the tests that take seconds; test-full: all
#   make fuzz                          load 20000 damaged images and tar shards
#   make gallery                       draw docs/gallery.md, every operation with its code and pictures
#   make bench                         jobs J1-J6 by all peers that are installed; make plots draws the figures
#   make TORCH=torch==2.11.0 test      with another torch (an installed torch >= 2.11 is kept)
#   make EXTRAS=cuda13,dev JOBS=1 test on a machine with a GPU and its CUDA 13 driver

PYTHON ?= python3
TORCH ?= torch==2.13.0
EXTRAS ?= cpu,dev
DATA ?= demo-data
BENCH_JSON ?= build/bench-loader.json
PEERS_JSON ?= build/bench-peers.json
PEERS_RESULT ?= perf/results/peers-cpu.json
JOBS ?= auto
FILES ?= 20000
SEED ?= 0
FUZZ_JSON ?= build/fuzz.json

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
CODE := $(wildcard engine kernels pipelines perf tests examples docs)

.DEFAULT_GOAL := help
.PHONY: help demo gallery test test-full lint types bench bench-loader plots fuzz clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -8

demo: $(READY)
	$(VENV)/bin/fieldloom demo

gallery: $(READY)
	$(PY) -m fieldloom.perf.gallery

test: $(READY)
	$(PY) -m pytest -n $(JOBS) --dist loadfile -m "not slow"

test-full: $(READY)
	$(PY) -m pytest

lint: $(READY)
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)

# On the built wheel, because mypy cannot see through an editable install. A `build/lib` that is left from
# an earlier build would put deleted modules into the wheel. MYPYPATH comes before the site-packages.
types: $(READY)
	rm -rf build/lib build/bdist.* build/types
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/types .
	$(PY) -m pip install --quiet --no-deps --target build/types/site build/types/*.whl
	MYPYPATH=build/types/site $(PY) -m mypy -p fieldloom

bench: $(READY)
	@test -d "$(DATA)" || $(PY) -c "from fieldloom.perf.photos import write_photo_folder as w; w('$(DATA)')"
	@mkdir -p "$(dir $(PEERS_JSON))"
	$(PY) -m fieldloom.perf peers "$(DATA)" --json "$(PEERS_JSON)"

plots: $(READY)
	$(PY) -m fieldloom.perf plots "$(PEERS_RESULT)" -o docs/peers.md

bench-loader: $(READY)
	@test -d "$(DATA)" || $(PY) -c "from fieldloom.perf.photos import write_photo_folder as w; w('$(DATA)')"
	@mkdir -p "$(dir $(BENCH_JSON))"
	$(PY) -m fieldloom.perf loader "$(DATA)" --json "$(BENCH_JSON)"

fuzz: $(READY)
	@mkdir -p "$(dir $(FUZZ_JSON))"
	$(PY) -m fieldloom.perf fuzz --files $(FILES) --seed $(SEED) --json $(FUZZ_JSON)

clean:
	rm -rf build dist *.egg-info demo-data demo.png .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find engine kernels pipelines perf tests -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and by version: there is a CPU build of that one on machines that have no GPU, and a
# later resolver run must not swap it. setuptools: `types` and the packaging test build without isolation.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'fieldloom needs Python 3.11 or newer as "$(PYTHON)". Install one, then: make PYTHON=python3.12 ...' >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo 'Cannot make $(VENV): this Python lacks venv or ensurepip.' >&2; \
	  echo 'Install them (Debian, Ubuntu: apt install python3-venv), or make .venv yourself (uv venv --seed).' >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip || { \
	  echo 'There is no pip in $(VENV): remove that folder, and run make again.' >&2; exit 1; }
	@$(PY) -c 'import sys, torch; sys.exit([int(v) for v in torch.__version__.split(".")[:2]] < [2, 11])' 2>/dev/null \
	  || $(PY) -m pip install "$(TORCH)"
	$(PY) -m pip install "setuptools>=77" -e ".[$(EXTRAS)]"
	@touch $@
