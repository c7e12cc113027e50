# Sourced by the scripts beside it: makes .venv in the project's folder if it is missing and installs an extra into it.
# usage: source tools/environment.sh EXTRA

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${PYTHON:-python3}"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "jaxssl needs Python 3.11 or newer; $PYTHON is $("$PYTHON" --version 2>&1). Set PYTHON to a newer one." >&2
  exit 1
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
# A stamp of what was installed keeps the second call from asking pip again.
stamp=".venv/installed-$1"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  echo "installing jaxssl[$1] into .venv ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
  touch "$stamp"
fi
