# Recipes for development and operation. Programs are in .venv, which `just setup` creates.

bin := ".venv/bin"
lock_options := "--universal --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet"

# List the recipes
default:
    @{{ just_executable() }} --list --unsorted

# Create .venv with all packages for development, tests and benchmarks, checked by hash
setup python="python3":
    {{ python }} -m venv .venv
    {{ bin }}/pip install --require-hashes --requirement requirements/bench.txt
    {{ bin }}/pip install --no-deps --editable .

# Run all of Auth1 on this machine, PostgreSQL and Redis included; codes are shown on the terminal
dev *arguments:
    {{ bin }}/python -m auth1 dev {{ arguments }}

# Run the tests; arguments go to pytest
test *arguments:
    {{ bin }}/pytest {{ arguments }}

# Run the tests and report the coverage of lines and branches; fails below the floor
coverage *arguments:
    {{ bin }}/pytest --cov --cov-report=term:skip-covered --cov-fail-under=93 {{ arguments }}

# Run what CI runs: format, lint, strict types, tests
check:
    {{ bin }}/ruff format --check .
    {{ bin }}/ruff check .
    {{ just_executable() }} --fmt --check --unstable
    {{ bin }}/mypy --strict
    {{ just_executable() }} test

# Format the Python sources and this file, and apply the linter's fixes
format:
    {{ bin }}/ruff check --fix .
    {{ bin }}/ruff format .
    {{ just_executable() }} --fmt --unstable

# Recreate the screenshots of the docs from the real application in Chromium
screenshots:
    {{ bin }}/python -m tests.browser.screenshots

# Fuzz the API with requests outside of its description; `only` is a pattern of paths
fuzz examples="200" only="":
    AUTH1_FUZZ_EXAMPLES={{ examples }} AUTH1_FUZZ_ONLY='{{ only }}' {{ bin }}/pytest -n 0 tests/openapi/test_fuzz.py

# Run the tests with many more examples, rounds and racing calls than in CI
thorough *arguments:
    AUTH1_THOROUGH=1 {{ bin }}/pytest {{ arguments }}

# Compare the look-up of phone numbers with phonenumbers: a million numbers, some minutes
phone-numbers *arguments:
    {{ bin }}/python -m tests.support.phone_numbers {{ arguments }}

# Run the tests with every database of an application behind PgBouncer in transaction mode; arguments go to pytest
test-pgbouncer *arguments="tests/api tests/authn tests/challenges tests/core/http tests/idempotency tests/magic_links tests/account tests/sessions tests/users tests/tenants tests/batches tests/pgbouncer":
    AUTH1_TEST_PGBOUNCER=1 {{ bin }}/pytest {{ arguments }}

# Run the tests with every application on Redis behind Sentinel, or on a Redis Cluster: `just test-redis cluster`
test-redis form="sentinel" *arguments="tests/api tests/authn tests/challenges tests/core/http tests/idempotency tests/magic_links tests/account tests/sessions tests/users tests/tenants tests/batches":
    AUTH1_TEST_REDIS={{ form }} {{ bin }}/pytest {{ arguments }}

# Run the benchmarks of parts in one process (the test options would use several)
bench *arguments:
    {{ bin }}/pytest bench --override-ini addopts= --benchmark-only {{ arguments }}

# Measure Auth1 beside better-auth, django-allauth and a FastAPI service (into .bench from PyPI and npm, on the same Python)
bench-peers *arguments:
    {{ bin }}/python -m bench.machine .bench/venv || {{ bin }}/python -m venv --clear .bench/venv
    .bench/venv/bin/pip install --quiet --require-hashes --requirement bench/peers/requirements.txt
    mkdir -p .bench/node && cp bench/peers/package.json bench/peers/better_auth.mjs .bench/node/
    npm install --prefix .bench/node --no-package-lock --no-audit --no-fund
    {{ bin }}/python -m bench.compare {{ arguments }}

# Log in to Auth1 with real OpenID Connect clients (installed into .clients from PyPI and npm; Apache and Chromium are Debian's)
oidc-clients *arguments:
    test -d .clients/venv || python3 -m venv .clients/venv
    .clients/venv/bin/pip install --quiet --requirement tests/oidc_clients/python/requirements.txt
    mkdir -p .clients/node && cp tests/oidc_clients/node/package.json .clients/node/
    npm install --prefix .clients/node --no-package-lock --no-audit --no-fund
    {{ bin }}/pytest -n 0 tests/oidc_clients {{ arguments }}

# Load the whole API of a running server with locust
load host="http://127.0.0.1:3000" users="50" time="60s" *arguments:
    {{ bin }}/locust --locustfile bench/locustfile.py --headless --only-summary --host {{ host }} --users {{ users }} --run-time {{ time }} {{ arguments }}

# Load a server with logins in a closed loop (--closed 32) or an open one (--rate 40), in one of four shapes
ceiling *arguments:
    {{ bin }}/python -m bench.load {{ arguments }}

# Compare the server with an empty application, pgbench with its statements, and redis-benchmark with its script
limits *arguments:
    {{ bin }}/python -m bench.limits {{ arguments }}

# Count instructions of the functions of `just bench` under callgrind, and compare them with the baseline
instructions *arguments:
    {{ bin }}/python -m bench.instructions {{ arguments }}

# Record a flame graph of a worker under logins
profile *arguments:
    {{ bin }}/python -m bench.profile {{ arguments }}

# Measure logins on a database of so many users, beside an empty one
scale users="200000" *arguments:
    {{ bin }}/python -m bench.scale --users {{ users }} {{ arguments }}

# Measure the fraud rules on simulated attacks and honest people; `--quick` takes some seconds
fraud *arguments:
    {{ bin }}/python -m bench.fraud {{ arguments }}

# Log in at a constant rate for so many minutes; plot memory and latency
soak minutes="60" *arguments:
    {{ bin }}/python -m bench.soak {{ minutes }} {{ arguments }}

# Verify the audit log after so many random histories of purges, erasures, imports and changed secrets
audit-runs runs="1000":
    AUTH1_AUDIT_RUNS={{ runs }} {{ bin }}/pytest -n 0 --timeout 0 -s tests/audit/test_honest_runs.py

# Measure sealing and verification of events, and lists and exports of a large table beside a small one
audit *arguments:
    {{ bin }}/python -m bench.audit {{ arguments }}

# Measure webhooks: logins beside a backlog of endpoints that hang, the delay of one that answers, CPU of a delivery
webhooks *arguments:
    {{ bin }}/python -m bench.webhooks {{ arguments }}

# Kill workers of webhooks in a loop during 10,000 deliveries; each must arrive
webhook-kills:
    AUTH1_THOROUGH=1 {{ bin }}/pytest -n 0 tests/webhooks/test_kills.py

# Log in through nginx and two instances while workers, PostgreSQL, Redis and clients fail; `--seconds 6` takes a minute
chaos *arguments:
    {{ bin }}/python -m bench.chaos {{ arguments }}

# Log in while the primary of a Patroni cluster is switched over and killed: through HAProxy, and by several hosts
failover *arguments:
    {{ bin }}/python -m bench.fleet.failover {{ arguments }}

# Log in through nginx while two instances are restarted ten times, and upgraded from the release before the newest migration
rolling *arguments:
    {{ bin }}/python -m bench.fleet.rolling {{ arguments }}

# Log in through nginx and two instances while Redis fails over behind Sentinel and in a cluster, and while a slot moves
redis-failover *arguments:
    {{ bin }}/python -m bench.fleet.redis_failover {{ arguments }}

# Load two instances behind nginx, on PgBouncer and a Redis Cluster, with distributed locust; `--seconds 20` is short
fleet *arguments:
    {{ bin }}/python -m bench.fleet.load {{ arguments }}

# Regenerate the requirements files, with versions and hashes
lock:
    {{ bin }}/uv pip compile pyproject.toml --extra sns --extra redis --extra tracing {{ lock_options }} -o requirements/serve.txt
    {{ bin }}/uv pip compile pyproject.toml --group dev {{ lock_options }} -o requirements/dev.txt
    {{ bin }}/uv pip compile pyproject.toml --group test --extra sns --extra redis --extra tracing {{ lock_options }} -o requirements/test.txt
    {{ bin }}/uv pip compile pyproject.toml --group bench --extra sns --extra redis --extra tracing {{ lock_options }} -o requirements/bench.txt
    {{ bin }}/uv pip compile bench/peers/requirements.in {{ lock_options }} -o bench/peers/requirements.txt

# Regenerate the API description, and the route labels of nginx's access log
openapi:
    {{ bin }}/python -m auth1 openapi > auth1/openapi/openapi.json.new
    mv auth1/openapi/openapi.json.new auth1/openapi/openapi.json
    {{ bin }}/python -m tests.ops.nginx_routes

# Apply missing migrations to the database in DATABASE_URL
migrate *arguments:
    {{ bin }}/python -m auth1 migrate {{ arguments }}

# Run the tests of the Kubernetes manifests as they are in the sources, before the edits for your cluster
k8s-validate:
    @command -v kubectl > /dev/null || { echo "kubectl is not installed" >&2; exit 1; }
    {{ bin }}/pytest --quiet tests/ops/test_kubernetes.py tests/ops/test_kubernetes_deployment.py

# Validate an overlay, check settings and services, migrate, then roll out; `just deploy prod --dry-run` only validates
deploy *arguments="prod":
    ops/k8s/deploy.sh {{ arguments }}

# Regenerate the alerts for Kubernetes from ops/grafana/alerts.yaml
alerts:
    {{ bin }}/python -m tests.ops.prometheus_rule

# Remove caches and built files; .venv and the data of `just dev` stay
clean:
    rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks dist
    find auth1 bench tests -name __pycache__ -type d -prune -exec rm -rf {} +
