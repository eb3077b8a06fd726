# make setup | demo [STORE=postgresql] | lab [STORE=sqlite] | disaster | test [WORKERS=1] | test-long | storm | sim | soak SECONDS=600 | mutants | fuzz INPUTS=10000000 | bench ROWS=1000000 | bench-pg ROWS=1000000 | bench-failover | bench-front-ends | bench-xmpp | bench-wan | bench-faults | lint | format | clean
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := src tests bench
COMMA := ,

# Debian packages that the tests call; add a name here when a test needs the real thing.
SYSTEM_PACKAGES := chromium-headless-shell debootstrap fonts-dejavu-core git haproxy lua-dbi-postgresql lua-dbi-sqlite3 openssl pgbouncer postgresql prometheus prosody samba systemd systemd-container tmux

# And those that only the long tests call.
LONG_PACKAGES := etcd-server fish patroni zsh

# What was compiled is kept: the tests start the program hundreds of times.
unexport PYTHONDONTWRITEBYTECODE

# $(call timed,label,command) runs the command and says how long it took.
timed = start=$$SECONDS; echo "== $(1)"; $(2); echo "== $(1): $$((SECONDS - start)) s"

.PHONY: setup system demo lab disaster test test-long storm sim soak mutants fuzz bench bench-pg bench-pg-away bench-pg-scale bench-failover bench-front-ends bench-xmpp bench-wan bench-faults lint format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "poolpair needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq python3-venv; } \
	  || { echo "Python's venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(call timed,install,$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt)
	@touch $@

system:
	@missing=""; for package in $(SYSTEM_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq $$missing; \
	else echo "missing system packages: apt-get install$$missing" >&2; exit 1; fi

# With STORE=postgresql on two servers of its own.
demo: STORE ?= sqlite
demo: setup
	@$(BIN)/python -m poolpair.lab.demo --store $(STORE)

# A whole deployment, in ./lab, to try things on: two sites, four pools, one management store. `poolpair lab down` ends it.
lab: STORE ?= postgresql
lab: setup
	@$(BIN)/poolpair lab up --store $(STORE)

# The worst day as two terminals show it, on PostgreSQL; docs/A-DISASTER.txt is one such run.
disaster: setup system
	@$(BIN)/python -m poolpair.lab.disaster $(if $(RECORD),--record $(RECORD))

# Tests of one file run one after the other; files side by side, in their order, for the slow ones come first.
WORKERS ?= logical
SPREAD := -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The tests make thousands of small durable files, and wait for each: in memory, where the machine has room there.
IN_MEMORY := $(shell [ "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -ge 6000000 ] 2>/dev/null && echo TMPDIR=/dev/shm)

test: setup system lint
	@$(call timed,pytest,$(IN_MEMORY) $(BIN)/python -m pytest $(SPREAD) --durations=10)

test-long: SYSTEM_PACKAGES += $(LONG_PACKAGES)
test-long: setup system
	@$(call timed,pytest -m long,$(IN_MEMORY) $(BIN)/python -m pytest -m long $(SPREAD) --durations=10)

# The sweeps at the density of hours: ten or so of processor time.
storm: setup system
	@$(call timed,sweeps,POOLPAIR_DENSE=1 $(IN_MEMORY) $(BIN)/python -m pytest -m long $(SPREAD) tests/simulation tests/line/test_crashes.py)

# Fixed seeds, and those that once found something; part of the tests. The soak takes fresh ones.
SEEDS ?= 40
soak: SECONDS ?= 600
sim: setup
	@$(call timed,found seeds,$(BIN)/python -m poolpair.testing regressions tests/simulation/seeds.txt)
	@$(call timed,fixed seeds,$(BIN)/python -m poolpair.testing seeds 1 $(SEEDS))

soak: setup
	@$(BIN)/python -m poolpair.testing soak $(SECONDS) $(SOAK_OPTIONS)

# Breaks the code on purpose, once for every rule, and prints who objected.
mutants: setup
	@$(BIN)/python -m tests.mutation.runner

# Every parser with inputs at random, counted; what breaks one is kept below tests/fuzz/found and tried in every test run.
INPUTS ?= 10000000
fuzz: setup
	@$(IN_MEMORY) $(BIN)/python -m tests.fuzz --inputs $(INPUTS) $(FUZZ_OPTIONS)

# Our pair beside PostgreSQL's own replication, see docs/BENCH.md. ROWS=100000 for a quick look; BUCARDO=1 installs and measures it, once.
ROWS ?= 1000000
ROUNDS ?= 3
BUCARDO ?=
bench-pg: setup system
	@if [ -n "$(BUCARDO)" ] && ! command -v bucardo >/dev/null; then apt-get install -y -qq bucardo postgresql-plperl-15; fi
	@$(call timed,bench,$(BIN)/python -m bench --rows $(ROWS) --rounds $(ROUNDS) $(if $(BUCARDO),--peers poolpair$(COMMA)native$(COMMA)bucardo) $(BENCH_OPTIONS))

# The SQLite edition beside Litestream; files beside rsync and unison; memory, whatever is copied. ROWS=100000 ROUNDS=1 for a quick look.
bench: setup
	@if ! { command -v rsync && command -v unison; } >/dev/null; then apt-get install -y -qq rsync unison; fi
	@$(call timed,bench,$(BIN)/python -m bench.sqlite --rows $(ROWS) --rounds $(ROUNDS) $(BENCH_OPTIONS))
	@$(call timed,bench,$(BIN)/python -m bench.trees --rounds $(ROUNDS))
	@$(call timed,bench,$(BIN)/python -m bench.memory --rows $(ROWS))

# A day of changes of a few keys while the partner is away: how long the log grows, and what the application feels.
bench-pg-away: setup system
	@$(BIN)/python -m bench.away $(BENCH_OPTIONS)

# A home moves while its application writes: how long its users wait, and what is lost.
bench-failover: setup system
	@$(BIN)/python -m bench.failover $(BENCH_OPTIONS)

# Three front ends of a pool: how soon another goes on when one is killed, or stands still.
bench-front-ends: setup system
	@$(BIN)/python -m bench.front_ends $(BENCH_OPTIONS)

# Two Prosody servers under chat, with continuous backup and without.
bench-xmpp: setup system
	@$(BIN)/python -m bench.xmpp $(BENCH_OPTIONS)

# A pair over file servers and a line that is far, thin, lossy or cut, beside rsync. As root: it makes network namespaces.
bench-wan: setup system
	@if ! { command -v rsync && command -v nft; } >/dev/null; then apt-get install -y -qq iproute2 nftables rsync; fi
	@$(BIN)/python -m bench.wan $(BENCH_OPTIONS)

# What goes wrong with a file server, what is said of it, and how soon it is over. As root, as well.
bench-faults: setup system
	@if ! { command -v rsync && command -v nft; } >/dev/null; then apt-get install -y -qq iproute2 nftables rsync; fi
	@$(BIN)/python -m bench.faults

# Many principals, of whom a part is active.
bench-pg-scale: ROWS = 2000000
bench-pg-scale: setup system
	@$(BIN)/python -m bench.scale --rows $(ROWS) $(BENCH_OPTIONS)

lint: setup
	@$(call timed,ruff check,$(BIN)/ruff check $(CODE))
	@$(call timed,ruff format,$(BIN)/ruff format --check $(CODE))
	@$(call timed,mypy,$(BIN)/mypy)
	@$(call timed,lint-imports,$(BIN)/lint-imports)

format: setup
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
