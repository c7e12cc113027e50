#!/usr/bin/env bash
# Makes .venv if it is missing, installs the test extra and runs the tests; arguments go to pytest, e.g. --slow.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" test
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
