#!/usr/bin/env bash
# Makes .venv and installs twofold into it; `tools/bootstrap.sh run|dev`.
# "run" is what the demo needs, "dev" adds the tools of the tests.
# Needs Python 3.11 or newer and, the first time, a package index for pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:?run or dev}

say() { printf 'bootstrap: %s\n' "$*" >&2; }

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "needs Python 3.11 or newer as '$python' (set PYTHON to name another)"
  exit 1
fi

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
  say "apt-get install $*"
  as_root apt-get update -qq >&2 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends "$@" >&2
}

# Debian ships venv's pip apart from Python.
if [ ! -x .venv/bin/python ] && ! "$python" -c 'import ensurepip' 2>/dev/null; then
  apt_install python3-venv || { say "please install python3-venv"; exit 1; }
fi

# The system tests cut cables with nftables; without them they skip loudly.
if [ "$kind" = dev ] && [ "$(id -u)" = 0 ]; then
  missing=()
  command -v nft >/dev/null || missing+=(nftables)
  command -v ip >/dev/null || missing+=(iproute2)
  if [ ${#missing[@]} -gt 0 ]; then
    apt_install "${missing[@]}" || say "without ${missing[*]} some tests skip"
  fi
fi

stamp=.venv/.twofold-$kind
want=$(cat requirements.lock pyproject.toml "$0" | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
  exit 0
fi

say "installing into .venv ($kind)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip --version >/dev/null 2>&1 ||
  .venv/bin/python -m ensurepip >/dev/null
pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
if [ "$kind" = dev ]; then
  "${pip[@]}" -r requirements.lock
  "${pip[@]}" --no-deps -e .
else
  "${pip[@]}" -c requirements.lock -e .
fi
echo "$want" >"$stamp"
