# Everything a developer needs. `make demo` and `make serve` work on a fresh clone with Python 3.11+ and make.

PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.lock
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
STAMP := $(VENV)/.installed
CYCLES ?= 19
SEED ?= 5
TABLE ?=
MUTANTS ?=
SECONDS ?= 60
DRILL ?= 200
OUT ?= .bench.md
UV ?= uv
# the extras in the image of deploy/Dockerfile
IMAGE := server graphql otel
# each Python that the package is for; PYTHON311=/path/to/python3.11 names one that is not on PATH
VERSIONS := 3.11 3.12 3.13
PYTHON311 ?= python3.11
PYTHON312 ?= python3.12
PYTHON313 ?= python3.13
# what runs on PostgreSQL 15 too, the oldest that is supported
ON_15 := $(patsubst %,tests/store/test_%.py,fault connection load complete migrate message walk sql portal_plan \
		deleted_endpoint former_url lock) \
	$(patsubst %,tests/dispatch/test_%.py,completing completer database_states)
# the inner loop: all rules without I/O, and a file or two of each area; no test that runs a process or a browser
FAST := tests/core tests/test_batcher.py tests/test_settings.py tests/test_repository.py \
	$(patsubst %,tests/store/test_%.py,message sql section) tests/service/test_intake.py \
	$(patsubst %,tests/dispatch/test_%.py,active_lane ready_queue shares) tests/api/test_log.py \
	tests/dialects/test_profile.py tests/portal/test_chart.py \
	tests/portal/test_message_filter.py tests/telemetry/test_registry.py tests/alert/test_mail.py \
	tests/cli/test_header_text.py tests/outbox/test_client.py tests/receiver/test_receiver.py \
	tests/receiver/test_scheme.py
# of these, what `make check-fast` leaves out: each simulates many hours
SIMULATED := tests/core/test_lane_simulation.py tests/core/test_schedule_kept.py

# what depends on libraries most, in addition: `make lowest` and `make pythons` run both
OUTER := $(patsubst %,tests/api/test_%.py,framing fast_path message) tests/dispatch/test_sender.py \
	tests/dispatch/test_words.py tests/dialects/test_shared.py tests/portal/test_login.py \
	tests/portal/test_message.py tests/outbox/test_form.py tests/store/test_embedded.py tests/test_extra.py

# what a target lacks, and how to get it
needs_uv = command -v $(UV) > /dev/null || { echo "$(1) needs uv: pip install uv, or name one: $(1) UV=/path/to/uv" >&2; exit 1; }
needs_python = $(PYTHON$(subst .,,$(1))) -c '' 2> /dev/null || { echo "$(2) needs Python $(1); install it, or name one: $(2) PYTHON$(subst .,,$(1))=/path/to/python$(1)" >&2; exit 1; }

# some machines forbid Python to keep its compiled files; then every start compiles everything
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo serve docs docs-check chromium tools prepare test compose deploy-check image-check systemd-check screenshots lint check check-fast bench chaos failover drill mutants shake lowest pythons dist release lock clean

setup: $(STAMP)

# made anew only when a lock or the project's own description changes; a module is compiled when it is first used
$(STAMP): $(LOCK) requirements/pip.lock requirements/svix1.lock pyproject.toml tests/node/package-lock.json
	@test -n "$(PYTHON)" || { echo "Angarium needs Python 3.11 or newer; install it, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(VENV) holds a Python older than 3.11; run make clean" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r requirements/pip.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r $(LOCK)
	@$(BIN)/python tests/node/npm.py ci --no-audit --no-fund --silent & npm=$$!; \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes --no-deps --upgrade --target $(VENV)/svix1 -r requirements/svix1.lock && \
	wait $$npm
	@touch $@

demo: setup
	@$(BIN)/angarium demo

serve: setup
	@$(BIN)/angarium dev

# PgBouncer, PostgreSQL 15, systemd and others, of Debian's packages
tools: setup
	@$(BIN)/python -m tests.kit.debian > /dev/null

# the browser of the browser tests: one that is there, or Debian's package
chromium: setup
	@$(BIN)/python -m tests.kit.chromium > /dev/null

# what the tests need, and the tests compiled once, in place of by each of the processes that run them
prepare: setup chromium tools
	@$(BIN)/python -m pytest -q --collect-only tests > /dev/null

# all together, a file at a time: the fault tests mostly wait, which leaves the processors to the others.
# What compares delays runs by itself.
test: setup chromium tools
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder --durations 10 tests tests/faults --ignore tests/faults/test_fairness.py
	$(BIN)/python -m pytest -q -n 3 --dist worksteal tests/faults/test_fairness.py
	ANGARIUM_TEST_POSTGRESQL=15 $(BIN)/python -m pytest -q -n 3 --dist worksteal $(ON_15)

# everything in deploy/ that can be checked without a container engine and a cluster. `make test` runs it too, except
# for the tests of the chart: they need Helm, which is built from its source once, in some minutes, and the schemas of
# Kubernetes, which are many files and go aside
deploy-check: setup tools
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/chart -r requirements/chart.lock
	@$(BIN)/python -m tests.kit.helm > /dev/null
	PYTHONPATH=$(VENV)/chart $(BIN)/python -m pytest -q -n 2 tests/deploy tests/deploy/chart.py

# Angarium and its PostgreSQL by Docker Compose; see docs/deploying.md
compose:
	deploy/secrets.sh
	docker compose -f deploy/compose.yaml up --build --detach --wait

# the steps of deploy/Dockerfile in a root that Debian's mmdebstrap makes, then the image; some minutes, as root
image-check: setup tools
	$(BIN)/python -m pytest -q -s tests/deploy/image.py

# deploy/systemd on a Debian that boots in a container of systemd; some minutes, as root
systemd-check: setup tools
	$(BIN)/python -m pytest -q -s tests/deploy/machine.py

# the documentation as a site with search, in site/index.html
docs: setup
	@$(BIN)/python -m tests.site site

# every code block of the documents: commands are typed beside a server that the README starts, and what they print is
# compared with the page. `make test` runs the tutorial, and checks that what the other pages name exists
docs-check: setup tools
	$(BIN)/python -m pytest -q tests/documents/test_blocks.py tests/documents/test_tutorial.py tests/documents/page.py

# every page of the portal as pictures in .screenshots
screenshots: setup chromium
	$(BIN)/python -m tests.portal.screenshots

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.prose

check: lint test

# under a minute on two idle cores, mypy's cache or none; see CONTRIBUTING.md
check-fast: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(SIMULATED:%=--ignore %) $(FAST)

# everything of docs/performance.md over the loopback interface, in about half an hour; SECONDS=5 is a quick look.
# what it needs beside the locked packages goes aside (see requirements/bench.in)
bench: setup
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/bench -r requirements/bench.lock
	$(BIN)/python -m bench --seconds $(SECONDS) --out $(OUT)

# the fault tests at full length, one after the other: CYCLES faults from the plan of SEED in one run, sick
# endpoints among 10,000, a backlog of a million; prints one table (fault, accepted, delivered, lost …). Before
# them, more of the random tests than `make test` draws.
chaos: setup
	ANGARIUM_TEST_SCHEDULES=20000 FUZZ_EXAMPLES=20 FUZZ_BOUNDARIES=1 HOSTILE_WORDS=1 $(BIN)/python -m pytest -q \
		tests/core/test_lane_simulation.py tests/e2e/test_fuzz.py tests/e2e/test_hostile.py
	ANGARIUM_TEST_CYCLES=$(CYCLES) ANGARIUM_TEST_SEED=$(SEED) ANGARIUM_TEST_TABLE=$(TABLE) \
		$(BIN)/python -m pytest -q tests/faults tests/faults/limit.py

# Patroni's primary is killed under load, alone and with its host, about five minutes; needs Debian's packages
# patroni, etcd-server and haproxy, and says so
failover: setup tools
	$(BIN)/python -m pytest -q tests/faults/failover.py

# what an operator should have seen work: an upgrade and back, a restore to a point in time, both kinds of keys replaced,
# each under load; DRILL is how much
drill: setup tools
	ANGARIUM_TEST_CYCLES=$(DRILL) ANGARIUM_TEST_TABLE=$(TABLE) \
		$(BIN)/python -m pytest -q $(patsubst %,tests/faults/test_%.py,upgrade restore key)

# Mutation tests of the rules: each changed line must fail a test. MUTANTS names functions, such as
# 'angarium.core.lane*'; without it all take some hours. Prints the score of each module.
mutants: setup
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/mutants -r requirements/mutants.lock
	PYTHONPATH=$(VENV)/mutants ANGARIUM_TEST_SCHEDULES=300 $(BIN)/python -m mutmut run $(MUTANTS)
	@$(BIN)/python -m tests.mutants

# the tests with delays where parts meet, and with processes that stand still (see tests/shake.py), some ten
# minutes for each kind
shake: setup chromium
	for kind in caller complete connection answer freeze; do echo "late: $$kind"; \
		$(BIN)/python -m pytest -q -n 4 --dist loadfile -p tests.shake --shake $$kind tests --ignore tests/faults || exit 1; done

# the inner loop's tests, on the wheel with the oldest versions that pyproject.toml names, on the oldest Python
lowest: setup
	@$(call needs_uv,make lowest)
	@$(call needs_python,3.11,make lowest)
	$(UV) pip compile pyproject.toml --extra all --resolution lowest-direct --python-version 3.11 \
		--upgrade -q -o $(VENV)/lowest.txt
	$(UV) pip compile pyproject.toml --extra all --group dev -c $(VENV)/lowest.txt --python-version 3.11 \
		--upgrade -q -o $(VENV)/lowest-dev.txt
	$(UV) venv -q --clear --python $(PYTHON311) $(VENV)/lowest
	$(UV) pip install -q --python $(VENV)/lowest/bin/python -r $(VENV)/lowest-dev.txt
	$(UV) pip install -q --python $(VENV)/lowest/bin/python --no-deps --reinstall .
	$(VENV)/lowest/bin/python -m pytest -q -n 2 --dist worksteal $(FAST) $(OUTER)

# the same tests on each Python that the package is for, with the locked versions
pythons: setup
	@$(foreach version,$(VERSIONS),$(call needs_python,$(version),make pythons) &&) true
	@for python in $(foreach version,$(VERSIONS),$(PYTHON$(subst .,,$(version)))); do \
		place=$(VENV)/$$(basename $$python); echo "$$python:"; \
		$$python -m venv --clear $$place && \
		$$place/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r $(LOCK) && \
		$$place/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation . && \
		$$place/bin/python -m pytest -q -n 2 --dist worksteal $(FAST) $(OUTER) || exit 1; done

# wheel, source and bill of materials (CycloneDX, of what requirements/server.lock pins) in dist, checked
dist: setup
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/release -r requirements/release.lock
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	PYTHONPATH=$(VENV)/release $(BIN)/python -m cyclonedx_py requirements requirements/server.lock --pyproject pyproject.toml \
		--mc-type application --output-reproducible --of JSON -o dist/angarium-$(VERSION).cdx.json
	$(BIN)/python -m tests.release files dist

# the same, of a commit that is a release; see docs/releasing.md
release: setup
	$(BIN)/python -m tests.release commit
	$(MAKE) check dist

# needs uv (pip install uv); the locks name no index, and pip checks every hash
lock:
	@$(call needs_uv,make lock)
	$(UV) pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o $(LOCK)
	$(UV) pip compile pyproject.toml --extra all -c $(LOCK) --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/server.lock
	$(UV) pip compile pyproject.toml $(IMAGE:%=--extra %) -c requirements/server.lock --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/image.lock
	$(UV) pip compile requirements/build.in -c $(LOCK) --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/build.lock
	$(UV) pip compile requirements/go.in --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/go.lock
	$(UV) pip compile requirements/release.in -c $(LOCK) --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/release.lock
	$(UV) pip compile requirements/svix1.in --no-deps --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/svix1.lock
	$(UV) pip compile requirements/bench.in --no-deps --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/bench.lock
	$(UV) pip compile requirements/chart.in --no-deps --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/chart.lock
	$(UV) pip compile requirements/pip.in --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/pip.lock
	$(UV) pip compile requirements/mutants.in -c $(LOCK) --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o requirements/mutants.lock
	$(BIN)/python tests/node/npm.py install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean:
	rm -rf $(VENV) site mutants tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
