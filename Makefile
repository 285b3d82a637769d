# `make help` says what there is. Everything runs in .venv, installed from the pinned requirements.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
JOBS ?= 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

# Only what was given becomes an option.
option = $(if $($(1)),$(2) "$($(1))")

.DEFAULT_GOAL := help
.PHONY: help run demo register drift compare reproduce retrain replay history labels fetch-labels verify seal test check lint bench bench-interference bench-faults bench-logs bench-verdicts bench-labels models promote rollback default split shadow scheduler exporter gateway format lock lock-peers clean

help: ## Show this list
	@echo "Everyday:"
	@awk -F ':.*## ' '/^(run|demo|register|drift|test|bench):/ {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Also:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / && !/^(run|demo|register|drift|test|bench):/ {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUNTIME) ## Start gateway, scheduler and exporter, with a demo model if there is none [INTERVAL=5m]; Ctrl-C stops all
	@$(BIN)/python -m demo model
	@exec $(BIN)/python deploy/run_local.py $(call option,INTERVAL,--interval)

demo: $(RUNTIME) ## Replay traffic through the running gateway until it drifts [DATA=file.csv LABEL=col EXCLUDE=a,b]
	@$(BIN)/python -m demo play $(call option,DATA,--data) $(call option,LABEL,--label) $(call option,EXCLUDE,--exclude) $(ARGS)

register: $(RUNTIME) ## Register your model: MODEL_FILE=m.skops REFERENCE=eval.csv TARGET=y NAME=fraud [VERSION= POSITIVE_CLASS= EXCLUDE=a,b ACCEPT_UNSEEN=a,b REJECT_UNSEEN=c TRUST=1]
	$(if $(and $(MODEL_FILE),$(REFERENCE),$(TARGET),$(NAME)),,$(error say what to register: make register MODEL_FILE=model.skops REFERENCE=eval.csv TARGET=column NAME=name))
	@$(BIN)/python -m gateway.registry register $(call option,MODEL_FILE,--model-file) $(call option,REFERENCE,--reference) \
	  $(call option,TARGET,--target) $(call option,NAME,--name) $(call option,VERSION,--version) \
	  $(call option,POSITIVE_CLASS,--positive-class) $(call option,EXCLUDE,--exclude) $(if $(filter 1,$(TRUST)),--trust) \
	  $(call option,ACCEPT_UNSEEN,--accept-unseen) $(call option,REJECT_UNSEEN,--reject-unseen)

drift: $(RUNTIME) ## Compare live with reference now [NAME=fraud [VERSION=2]] [WINDOW=24h | SINCE=2026-01-31T12:00:00Z UNTIL=...] [REFERENCE=rolling:7d] [JOINT=1] [FAIL_ON=drift|warning|insufficient FORMAT=text|json|junit OUTPUT=dir]
	@$(BIN)/python -m drift_engine run $(call option,NAME,--name) $(call option,VERSION,--version) $(call option,WINDOW,--window) \
	  $(call option,SINCE,--since) $(call option,UNTIL,--until) $(call option,REFERENCE,--reference) $(if $(filter 1,$(JOINT)),--joint) \
	  $(call option,FAIL_ON,--fail-on) $(call option,FORMAT,--format) $(call option,OUTPUT,--output)

compare: $(RUNTIME) ## Compare any tables, without a running system: REF=ref.csv CUR="a.csv b.parquet" [EXCLUDE=a,b LABEL=col FAIL_ON= FORMAT= OUTPUT=dir ARGS=]
	$(if $(and $(REF),$(CUR)),,$(error say what to compare: make compare REF=ref.csv CUR=cur.csv))
	@$(BIN)/python -m drift_engine compare "$(REF)" $(CUR) $(call option,EXCLUDE,--exclude) $(call option,LABEL,--label) \
	  $(call option,FAIL_ON,--fail-on) $(call option,FORMAT,--format) $(call option,OUTPUT,--output) $(ARGS)

reproduce: $(RUNTIME) ## Repeat a drift run from what it recorded and compare every figure: RUN=20261120T151139.123456Z-1a2b3c
	$(if $(RUN),,$(error say which run: make reproduce RUN=run id))
	@$(BIN)/python -m drift_engine reproduce "$(RUN)"

history: $(RUNTIME) ## Keep what each day came to, scored again as labels come (the scheduler does it every hour) [NAME=fraud [VERSION=2]] [DAYS=90]
	@$(BIN)/python -m drift_engine history $(call option,NAME,--name) $(call option,VERSION,--version) $(call option,DAYS,--days)

retrain: $(RUNTIME) ## Fit a candidate on labelled live rows and hold it against the champion: NAME=fraud [VERSION=1] [TRAIN=train.csv] [PROMOTE=1] [ARGS="--decide-by roc_auc"]
	$(if $(NAME),,$(error say which model: make retrain NAME=name))
	@$(BIN)/python -m drift_engine retrain --name "$(NAME)" $(call option,VERSION,--version) $(call option,TRAIN,--train) \
	  $(if $(filter 1,$(PROMOTE)),--promote) $(ARGS)

replay: $(RUNTIME) ## Ask a version what was logged, and show where its answers differ: NAME=fraud VERSION=2 [SINCE= UNTIL= ROWS=100000] [LOG=1]
	$(if $(and $(NAME),$(VERSION)),,$(error say what to replay: make replay NAME=name VERSION=version))
	@$(BIN)/python -m drift_engine replay --name "$(NAME)" --version "$(VERSION)" $(call option,LOG,--log) \
	  $(call option,SINCE,--since) $(call option,UNTIL,--until) $(call option,ROWS,--rows) $(ARGS)

labels: $(RUNTIME) ## Record true outcomes: FILE=labels.csv [NAME=fraud] [SKIP_INVALID=1]; columns label, request_id or client_id
	@$(if $(FILE),,$(error say which file: make labels FILE=labels.csv))$(BIN)/python -m gateway.import_labels $(call option,NAME,--name) $(if $(filter 1,$(SKIP_INVALID)),--skip-invalid) "$(FILE)"

fetch-labels: $(RUNTIME) ## Record what the commands in [labels] of the settings file print [NAME=fraud]
	@$(BIN)/python -m gateway.fetch_labels $(call option,NAME,--name)

verify: $(RUNTIME) ## Check every line of the logs and the manifest chain [HEAD=sha256 that was kept elsewhere]
	@$(BIN)/python -m gateway.log verify $(call option,HEAD,--head) $(ARGS)

seal: $(RUNTIME) ## Seal finished log segments now (the scheduler does it every minute) and print the chain's head
	@$(BIN)/python -m gateway.log seal

test: $(DEV) ## Run all tests, two at a time [ARGS="-k log"] [COVERAGE=1] [JOBS=4; 0 for one process, where --pdb works]
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(if $(COVERAGE),--cov --cov-report=term) $(ARGS)

bench: $(DEV) ## Measure requests/s and latency of the gateway and of its peers, time and memory of drift runs
	@$(BIN)/python -m benchmarks.gateway $(ARGS)
	@$(BIN)/python -m benchmarks.drift

bench-interference: $(DEV) ## Measure what a drift run on 1,000,000 rows costs the requests beside it (about half an hour)
	@$(BIN)/python -m benchmarks.interference $(ARGS)

bench-logs: $(DEV) ## Measure sealing, verifying and reading of large logs (about ten minutes)
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.read

bench-labels: $(DEV) ## Measure joining 1,000,000 labels, and looking back for late ones (about ten minutes) [ARGS="--days 10"]
	@$(BIN)/python -m benchmarks.labels $(ARGS)

bench-verdicts: $(DEV) ## Measure false alarms and power of the drift verdicts, Evidently's beside (about 15 minutes) [ARGS="--parts power"]
	@$(BIN)/python -m benchmarks.verdicts $(ARGS)

bench-faults: $(DEV) ## Kill workers and masters, cut the power, measure what the log costs (about half an hour) [ARGS="masters --masters 5"]
	@$(BIN)/python -m benchmarks.faults $(ARGS)

check: lint test ## What must be green before a commit: ruff, mypy, tests

lint: $(DEV) ## Ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

models: $(RUNTIME) ## List the registered models and which versions serve
	@$(BIN)/python -m gateway.registry list

promote: $(RUNTIME) ## Let a version serve, after a check of it: NAME=fraud VERSION=2 [WHY="better recall"]
	@$(if $(and $(NAME),$(VERSION)),,$(error say what to promote: make promote NAME=name VERSION=version))$(BIN)/python -m gateway.versions promote "$(NAME)" "$(VERSION)" $(call option,WHY,--why)

rollback: $(RUNTIME) ## Let the version serve that served before: NAME=fraud [WHY=]
	@$(if $(NAME),,$(error say which model: make rollback NAME=name))$(BIN)/python -m gateway.versions rollback "$(NAME)" $(call option,WHY,--why)

default: $(RUNTIME) ## Let POST /predict ask this model: NAME=fraud
	@$(if $(NAME),,$(error say which model: make default NAME=name))$(BIN)/python -m gateway.versions default "$(NAME)" $(call option,WHY,--why)

split: $(RUNTIME) ## Let a second version answer a share of the requests: NAME=fraud VERSION=2 [SHARE=0.1], or NAME=fraud OFF=1
	@$(if $(and $(NAME),$(or $(OFF),$(VERSION))),,$(error say what to split: make split NAME=name VERSION=version SHARE=0.1, or OFF=1))$(BIN)/python -m gateway.versions split "$(NAME)" $(if $(filter 1,$(OFF)),--off,"$(VERSION)" $(call option,SHARE,--share)) $(call option,WHY,--why)

shadow: $(RUNTIME) ## Let a version score the requests and answer none: NAME=fraud VERSION=2, or NAME=fraud OFF=1
	@$(if $(and $(NAME),$(or $(OFF),$(VERSION))),,$(error say what to shadow: make shadow NAME=name VERSION=version, or OFF=1))$(BIN)/python -m gateway.versions shadow "$(NAME)" $(if $(filter 1,$(OFF)),--off,"$(VERSION)") $(call option,WHY,--why)

gateway: $(RUNTIME) ## Start the gateway alone
	@exec $(BIN)/python -m gateway

scheduler: $(RUNTIME) ## Start the scheduler alone [INTERVAL=5m]
	@exec $(BIN)/python scheduler.py $(call option,INTERVAL,--interval)

exporter: $(RUNTIME) ## Start the exporter alone
	@exec $(BIN)/python -m exporter

format: $(DEV) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(DEV) ## Pin the requirements anew from the .in files
	@for name in requirements-gateway requirements requirements-dev; do \
	  $(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-strip-extras --allow-unsafe --no-emit-index-url \
	    --no-emit-trusted-host --no-emit-find-links --output-file=$$name.txt $$name.in || exit 1; done

#: What scores the model is left out: the peers get it in the gateway's own versions, to load the same file.
MODEL_LIBRARIES := scikit-learn numpy scipy joblib threadpoolctl narwhals

lock-peers: $(DEV) ## Pin the servers that the gateway is compared with anew
	@for peer in benchmarks/peers/*.in; do \
	  CUSTOM_COMPILE_COMMAND="make lock-peers" $(BIN)/pip-compile --quiet --upgrade --no-strip-extras --no-annotate \
	    $(addprefix --unsafe-package ,$(MODEL_LIBRARIES)) --no-emit-index-url --no-emit-trusted-host \
	    --no-emit-find-links --output-file=$${peer%.in}.txt $$peer || exit 1; done

clean: ## Remove .venv and caches; keeps data, models and reports
	@rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "SentinelML needs Python 3.11 or newer; name one with PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements-pip.txt

$(RUNTIME): requirements.txt | $(BIN)/python
	@echo "Installing the pinned requirements into $(VENV) (about a minute, once) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing what the tests need into $(VENV) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@
