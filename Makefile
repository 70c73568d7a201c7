# The commands of this project. On a fresh machine with Python 3.11+, a Rust toolchain and make, `make demo` and `make test` do everything.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
WHEELS  = dist
SOURCES = Cargo.toml Cargo.lock pyproject.toml README.md $(shell find rust python -name '*.rs' -o -name '*.toml' -o -name '*.py' -o -name '*.pyi' -o -name '*.j2' -o -name '*.js')

.DELETE_ON_ERROR:
.PHONY: help demo test test-rust test-python test-numpy-only lint docs bench bench-smoke bench-training check-vectorised fuzz dev clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

demo: $(VENV)/train.stamp  ## train and evaluate the default on real digits, leave a report to open
	rm -rf runs/demo
	$(BIN)/unblot train digits --out runs/demo
	$(BIN)/unblot eval runs/demo
	@echo
	@echo "The report:   open runs/demo/eval/report.html in a browser"
	@echo "Next, yours:  $(BIN)/unblot train FOLDER --normal good --abnormal bad"

# Rust's tests compile while pip unpacks, which keeps one core busy. Python's tests want both.
test:  ## run all tests, the Python ones against the installed wheel
	$(MAKE) -j2 test-rust $(VENV)/dev.stamp $(VENV)-numpy/stamp
	$(MAKE) test-python test-numpy-only

# Without MAKEFLAGS: cargo would look for make's jobserver, which is not handed on.
test-rust:
	MAKEFLAGS= cargo test --workspace --quiet

test-python: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=20

# The core and its NumPy surface, in an environment that has no torch.
test-numpy-only: $(VENV)-numpy/stamp
	$(VENV)-numpy/bin/python -m pytest tests/test_import.py tests/numpy_only

lint: $(VENV)/dev.stamp  ## format, lints and types, Rust and Python
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest unblot._core

# Not --quiet: that hides the warnings from --strict, too.
docs: $(VENV)/dev.stamp  ## build the site into site/, with strict links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/bench.stamp  ## the corruption core beside its peers; ends with the table of ratios of docs/benchmarks.md
	cargo bench --package unblot-core --bench core -- --quiet --warm-up-time 0.5 --measurement-time 1
	$(BIN)/python -m pytest benches --benchmark-only --benchmark-columns=min,median,iqr,rounds --benchmark-max-time=0.3 --benchmark-min-rounds=3
	$(BIN)/python -m benches.ratios --out docs/benchmarks.md

# What nobody runs rots: CI runs this.
bench-smoke: $(VENV)/bench.stamp  ## every benchmark once, without a look at the time
	cargo bench --package unblot-core --bench core -- --test
	$(BIN)/python -m pytest benches --benchmark-disable

bench-training: $(VENV)/bench.stamp  ## training speed beside GANomaly's public step; leave the machine alone meanwhile
	$(BIN)/python -m benches.training

# The library that went into the wheel: it keeps its symbols.
check-vectorised: $(WHEELS)/stamp  ## look into the built library whether the hot loops are vector code
	$(PYTHON) tools/check_vectorised.py target/release/lib_core.so

SECONDS ?= 60
fuzz:  ## any specification on any images, for SECONDS=60; needs cargo install cargo-fuzz
	RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir rust/core/fuzz --target-dir target/fuzz --sanitizer none corrupt -- \
		-max_total_time=$(SECONDS) -timeout=60 -max_len=512 -len_control=0

dev: $(VENV)/dev.stamp  ## editable install for working on the Python side
	$(BIN)/maturin develop --release --quiet

clean:  ## remove what was built (runs/ stays)
	rm -rf $(VENV) $(VENV)-numpy $(WHEELS) site target

$(BIN)/maturin:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unblot needs Python 3.11 or newer; run make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "maturin>=1.8,<2"

$(WHEELS)/stamp: $(SOURCES) | $(BIN)/maturin
	rm -rf $(WHEELS)
	$(BIN)/maturin build --release --quiet --out $(WHEELS)
	touch $@

# The wheel's dependencies first, then the wheel itself again: the same version may have been built anew.
$(VENV)/%.stamp: $(WHEELS)/stamp
	$(BIN)/python -m pip install --quiet "$$(echo $(WHEELS)/*.whl)[$*]"
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	touch $@

$(VENV)-numpy/stamp: $(WHEELS)/stamp
	$(PYTHON) -m venv $(VENV)-numpy
	$(VENV)-numpy/bin/python -m pip install --quiet $(WHEELS)/*.whl pytest hypothesis
	$(VENV)-numpy/bin/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	touch $@
