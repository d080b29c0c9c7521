# From a fresh clone, `make demo` and `make test` need Python 3.11 or later with venv, a C compiler and make; all else goes
# into .venv. The tests run against the installed package, which is installed again when its sources have changed.

PYTHON ?= python3
VENV := .venv
BENCH ?=                         # options of the benchmark, as in make bench BENCH="--quick --simd v3"
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml MANIFEST.in $(shell find src -type f \( -name '*.py' -o -name '*.pyx' \
	-o -name '*.pxi' -o -name '*.pyi' -o -name '*.h' -o -name '*.gz' -o -name '*.md' -o -name py.typed \))

WORKERS := 2                     # processes that run the tests, side by side; a failure shows alike with WORKERS=0
TORCH ?=                         # of make coverage: a requirement that gives PyTorch's CPU build, as torch==2.13.0 here
SECONDS := 60                    # of make fuzz
MUTANTS := 50                    # of make mutate, and the seed that draws them
SEED := 0
# The tests that reach the core. Those of the files and the command line limit their memory, of which ASan takes terabytes.
KERNEL_TESTS = $(patsubst %,tests/test_%.py,network training single perceptron scalar bits descent solvers sparse optimizers \
	many regularisation order loop resume corpus)

PARALLEL = -n $(WORKERS) --dist worksteal
EXAMPLES = $(filter-out examples/common.py,$(wildcard examples/*.py))
KERNEL := {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

.DEFAULT_GOAL := help
.PHONY: help demo test test-long fuzz sanitize mutate coverage docs notebooks bench tables streams kernels lint clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: $(VENV)/installed ## train on the bundled digits, print accuracy and confusion matrix, save the model
	$(BIN)/python examples/digits.py

test: $(VENV)/tested ## install what the tests need and run them all
	$(BIN)/python -m pytest tests bench --benchmark-disable $(PARALLEL)

test-long: $(VENV)/tested ## run the tests and those that take minutes (builds with compilers of old)
	$(BIN)/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[dev]"
	BACKPROP_EXAMPLES=1000 $(BIN)/python -m pytest tests bench --benchmark-disable $(PARALLEL) -m "slow or not slow"

fuzz: $(VENV)-fuzz/ready ## fuzz the readers of files, guided by coverage: SECONDS=60 between them all
	$(VENV)-fuzz/bin/python fuzz $(SECONDS)

sanitize: $(VENV)/installed $(VENV)-asan/ready $(VENV)-checked/ready ## run the tests under ASan and UBSan, then with checked indices; some under valgrind
	LD_PRELOAD="$$(for l in asan ubsan stdc++; do $(CC) -print-file-name=lib$$l.so; done | tr '\n' ' ')" \
	ASAN_OPTIONS=detect_leaks=0 $(VENV)-asan/bin/python -m pytest $(KERNEL_TESTS) $(PARALLEL)
	$(VENV)-checked/bin/python -m pytest tests $(PARALLEL) --ignore tests/test_packaging.py --ignore tests/test_types.py
	command -v valgrind > /dev/null || { echo "valgrind is not installed: its part is left out"; exit 0; }; \
	PYTHONMALLOC=malloc BACKPROP_SIMD=v3 valgrind --quiet --log-file=$(VENV)/valgrind.log $(BIN)/python tests/bits.py \
		--only batch > /dev/null && ! grep -q "_core_v3" $(VENV)/valgrind.log    # CPython has findings of its own

mutate: $(VENV)/tested ## change the kernels one token at a time: do the tests notice? MUTANTS=50 of some 5,000
	$(BIN)/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[dev]"
	$(BIN)/python mutate kernels $(MUTANTS) $(SEED)

coverage: $(VENV)-coverage/ready ## lines and branches of Python and lines of the kernels that no test reaches
	$(VENV)-coverage/bin/python cover tests bench --benchmark-disable -q     # in one process: others end without counts

docs: $(VENV)-docs/ready ## build the documentation, its figures among it: docs/_build/html; a warning is an error
	$(VENV)-docs/bin/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/tested ## make notebooks of the examples: examples/*.ipynb
	$(BIN)/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[notebooks]"
	$(BIN)/jupytext --quiet --to ipynb --update-metadata '$(KERNEL)' $(EXAMPLES)

bench: $(VENV)-bench/ready ## time training and prediction against JAX, numba, PyTorch, scikit-learn and others, in one run
	$(VENV)-bench/bin/python bench $(BENCH)

tables: $(VENV)-bench/ready ## write the figures of bench/results into README and docs/performance.md, and draw the chart
	$(VENV)-bench/bin/python bench/tables.py

streams: $(VENV)/installed ## time training from files of 10 million rows beside training in memory, and tell the memory it takes
	$(BIN)/python src/backprop/bench/streaming.py

kernels: $(VENV)/tested ## time the kernels alone, after checking them against NumPy
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest bench --benchmark-only --benchmark-columns=min,median,rounds

lint: $(VENV)/installed ## check the style with ruff, the type hints with mypy
	$(BIN)/pip install --quiet ruff mypy
	$(BIN)/ruff check .
	$(BIN)/mypy --python-executable $(BIN)/python

clean: ## remove the environment and everything built
	rm -rf $(VENV) $(VENV)-bench $(VENV)-docs $(VENV)-fuzz $(VENV)-asan $(VENV)-checked $(VENV)-coverage docs/_build examples/*.ipynb build dist src/*.egg-info src/backprop/_c*.c src/backprop/*.so .pytest_cache .hypothesis .benchmarks
	find src tests bench examples fuzz -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | $(BIN)/pip
	@echo "Building backprop and installing it into $(VENV): a minute or two"
	rm -rf $(VENV)/wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir $(VENV)/wheel .
	$(BIN)/pip install --quiet --force-reinstall --no-deps $(VENV)/wheel/*.whl
	$(BIN)/pip install --quiet $(VENV)/wheel/*.whl
	@touch $@

$(VENV)-bench/bin/pip:
	$(PYTHON) -m venv $(VENV)-bench

$(VENV)-bench/ready: $(VENV)/installed src/backprop/bench/requirements.txt | $(VENV)-bench/bin/pip
	@echo "Installing the peers into $(VENV)-bench: some minutes"
	$(VENV)-bench/bin/pip install --quiet -r src/backprop/bench/requirements.txt
	$(VENV)-bench/bin/pip install --quiet --force-reinstall --no-deps $(VENV)/wheel/*.whl
	$(VENV)-bench/bin/pip install --quiet $(VENV)/wheel/*.whl
	@touch $@

$(VENV)-docs/bin/pip:
	$(PYTHON) -m venv $(VENV)-docs

$(VENV)-docs/ready: $(VENV)/installed | $(VENV)-docs/bin/pip
	@echo "Installing Sphinx into $(VENV)-docs"
	$(VENV)-docs/bin/pip install --quiet --force-reinstall --no-deps $(VENV)/wheel/*.whl
	$(VENV)-docs/bin/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[docs]"
	@touch $@

$(VENV)-fuzz/ready: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)-fuzz
	$(VENV)-fuzz/bin/pip install --quiet atheris
	$(VENV)-fuzz/bin/pip install --quiet $(VENV)/wheel/*.whl
	@touch $@

$(VENV)-coverage/ready: $(VENV)/installed
	@echo "Installing what the tests can make use of into $(VENV)-coverage: some minutes"
	$(PYTHON) -m venv $(VENV)-coverage
	$(VENV)-coverage/bin/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[dev,dask,onnx,parquet]" "coverage>=7.10" \
		onnxruntime polars argcomplete $(TORCH)
	@touch $@

$(VENV)-asan/ready: export BACKPROP_CFLAGS = -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
$(VENV)-checked/ready: export BACKPROP_CFLAGS = -O1
$(VENV)-checked/ready: export BACKPROP_BOUNDSCHECK = 1
$(VENV)-asan/ready $(VENV)-checked/ready: $(VENV)-%/ready: $(SOURCES)
	@echo "Building backprop with checks and installing it into $(@D): some minutes"
	rm -rf $(@D) build/lib* build/temp*
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet ".[test]"
	rm -rf build/lib* build/temp*
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/pip install --quiet "$$(echo $(VENV)/wheel/*.whl)[test]"
	@touch $@
