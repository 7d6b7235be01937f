# The two commands of a newcomer: `make demo` and `make test`.
.PHONY: demo test deps lint fmt accept crash storm model scale bench

DEMO_DATA ?= ./demo-data
ROUNDS ?= 100
SUITE ?= ingest query commit plan catalog flow small compact keyed stream hop freshness start
SIZE ?= full
STEPS ?= 10000

# Builds what the demo needs and starts it; Ctrl-C ends it.
demo:
	@echo "building cenote (profile quick): about 10 minutes on 2 cores the first time, seconds afterwards"
	cargo build --profile quick --package cenote --no-default-features
	./target/quick/cenote demo --data-dir $(DEMO_DATA) $(DEMO_FLAGS)

# Every test in small form, with the real PostgreSQL and an S3 server started by the tests.
test:
	cargo xtask test

# Installs what is missing; prints it first.
deps:
	@./deploy/deps

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features cenote/failpoints -- -D warnings
	cargo xtask tidy

fmt:
	cargo fmt --all

# Rewrites snapshots: OpenAPI, configuration reference.
accept:
	CENOTE_ACCEPT=1 cargo xtask test --no-fail-fast -E 'test(committed_document)'

# kill -9 at random moments, ROUNDS times.
crash:
	CENOTE_CRASH_ROUNDS=$(ROUNDS) cargo xtask test -E 'test(kills_at_random_moments)' --no-capture

# Appends, changes of rows of every kind, merges of files and changes of columns at once for a minute, killed every five seconds.
storm:
	CENOTE_STORM_SECONDS=60 CENOTE_STORM_SCALE=4 cargo xtask test -E 'test(everything_at_once)' --no-capture

# Benchmarks beside peers: make bench [SUITE=ingest|query|commit|plan|catalog|flow|small|compact|keyed|stream|hop|freshness|start] [SIZE=small|full].
bench:
	cargo build --release --package cenote
	test -x bench/.venv/bin/python || python3 -m venv bench/.venv
	bench/.venv/bin/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	bench/.venv/bin/python bench/run.py $(SUITE) --size $(SIZE)

# Tests at the size that their page asks for: races of 10,000, epochs of 1,000, partition values and steps of 1,000,000; Nexmark over 10,000,000
# events, windows of an hour each second over 1,000 keys, a backfill of 100,000,000 rows, a sink that is down for a minute. Hours, most of them races.
scale:
	CENOTE_RACES=10000 CENOTE_EPOCHS=1000 CENOTE_TRANSFORM_VALUES=1000000 CENOTE_STEPS=1000000 CENOTE_LINEAGE_PLANS=1000 \
	CENOTE_NEXMARK_EVENTS=10000000 CENOTE_HOP_KEYS=1000 CENOTE_BACKFILL_ROWS=100000000 CENOTE_DOWN_SECONDS=60 CENOTE_JOIN_CHANGES=10000 CENOTE_BACKLOG_ROWS=20000000 \
	CENOTE_TASK_LIVES=10000 CENOTE_ASSET_QUERIES=300 CENOTE_SCHEDULES=1000 CENOTE_BURST_COMMITS=1000 CENOTE_PUBLISHED_OBJECTS=1000 CENOTE_EVENT_COMMITS=12500 CENOTE_TEST_PROFILE=quick \
		cargo xtask test -E 'test(racing_) + test(one_epoch_of_two_processes) + test(partition_values_are_those_of_pyiceberg) + test(steps_by_chance) + test(columns_stay_when) + test(partitions_of_random_queries) + test(as_many_events_as_are_asked_for) + test(windows_of_an_hour_that_begin_each_second) + test(a_backfill_in_pieces) + test(a_webhook_that_is_down) + test(outer_joins_of_changes) + test(a_backlog_is_drained) + test(random_endings_make) + test(of_two_loops_at_once) + test(a_burst_of_changes) + test(a_manifest_stays_as_it_was) + test(a_reader_of_small_pages)'

# Random statements beside an oracle, STEPS of them on each catalog database, from the seed SEED (a new one if it is not given).
model:
	CENOTE_MODEL_STEPS=$(STEPS) CENOTE_MODEL_SEED=$(or $(SEED),$(shell date +%s)) CENOTE_TEST_PROFILE=quick cargo xtask test -E 'test(random_steps_agree)' --no-capture
