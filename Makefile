# Every target does its own set-up on a machine that has python3 (3.11+), make and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPARK := .venv-spark
SPARK_READY := $(SPARK)/.ready
SAIL := .venv-sail
SAIL_READY := $(SAIL)/.ready

.PHONY: demo test test-sail test-spark lint bench bench-rehearsal sweep mutate programs lock lock-bench clean

demo: $(READY)  ## the example's migration, SQLite to an Iceberg lake, counts against the answer key
	rm -rf demo
	$(BIN)/transhume demo demo

test: $(READY) programs  ## everything that must hold, on real servers
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(READY)  ## style, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench-rehearsal: $(READY)  ## 5 % of a million models, three times a target: does it predict what all of them take, within 30 %?
	$(BIN)/python benchmarks/rehearsal.py

bench: $(READY)  ## the whole job beside limits and peers, half an hour (benchmarks/README.md); exit 1 where a target is missed
	$(BIN)/python benchmarks/run.py --fresh --write

sweep: $(READY) programs  ## long forms of the tests: every zone, every kill point
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "sweep or always"

mutate: $(READY)  ## plants faults, one at a time: the tests must notice them (tests/mutation/README.md says how long)
	$(BIN)/python -m tests.mutation

# MariaDB is a source and runs the scripts that are printed for it, a browser opens the pages. Where they cannot be
# installed the tests that need them say so and are skipped, which .ci/run does not take.
PROGRAMS := mariadbd:mariadb-server-core mariadb-dump:mariadb-client mariadb-backup:mariadb-backup chromium:chromium
programs:
	@missing=; for each in $(PROGRAMS); do \
		PATH="$$PATH:/usr/sbin" command -v $${each%%:*} >/dev/null || missing="$$missing $${each#*:}"; done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing; \
	fi

test-spark: $(SPARK_READY) test-sail  ## operations, rules and nasty rows on Spark and Sail as on DuckDB; clusters that lose processes
	@command -v java >/dev/null || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
		--no-install-recommends openjdk-17-jre-headless; }
	$(SPARK)/bin/python -m pytest -m "sweep or not sweep" tests/spark
	$(SAIL)/bin/python -m pytest -m sweep tests/spark

test-sail: $(SAIL_READY)  ## of these, what needs no Java
	$(SAIL)/bin/python -m pytest tests/spark

$(SAIL_READY): requirements/sail.txt pyproject.toml
	$(PYTHON) -m venv $(SAIL)
	$(SAIL)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sail.txt
	$(SAIL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(SPARK_READY): requirements/spark.txt pyproject.toml
	$(PYTHON) -m venv $(SPARK)
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/spark.txt
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "transhume needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock:  ## renew the locked dependencies (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra all --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra all -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra all --extra spark --group dev -c requirements/dev.txt pyproject.toml -o requirements/spark.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra all --extra sail --group dev -c requirements/dev.txt pyproject.toml -o requirements/sail.txt

lock-bench:  ## renew the locked environments of the benchmark's peers (needs uv)
	for each in benchmarks/requirements/*.in; do \
		uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
			--no-emit-index-url --no-header $$each -o $${each%.in}.txt || exit 1; done

clean:
	rm -rf $(VENV) $(SPARK) $(SAIL) demo .mypy_cache .ruff_cache .pytest_cache build dist
