#!/usr/bin/env bash
# Makes .venv if it is missing, installs the test extra, and runs linter, type check and tests; arguments go to pytest,
# e.g. --slow.
# A test that ends its worker process is started again with the next worker: two of them, not one after another for ever.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test
.venv/bin/python -m ruff check --quiet
.venv/bin/python -m ruff format --check --quiet configs jaxssl tests tools
.venv/bin/python -m mypy --no-error-summary
exec .venv/bin/python -m pytest -n 2 --dist loadfile --max-worker-restart 2 "$@"
