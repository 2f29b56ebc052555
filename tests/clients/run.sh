#!/usr/bin/env bash
# Installs openai for Node as tests/clients/node/package-lock.json pins it, and for Python the packages of
# tests/clients/python/packages.txt (2.5 GB, most of it what curator, LiteLLM, inspect_ai and langasync bring along), walks a
# server with each, and moves 200 MB through the Python client. The package for Node asks for Node.js 22; what is used of it here
# works with 20, too.
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in node npm; do
  command -v "$tool" > /dev/null || { echo "error: $tool is needed; install Node.js 20 or newer, with npm" >&2; exit 1; }
done
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
  || { echo "error: Node.js 20 or newer is needed; this is $(node --version)" >&2; exit 1; }
(cd tests/clients/node && npm ci --loglevel=error)
# A package may want a newer Python than ours: PYTHON312 names one; where there is none, its walk is skipped.
newer=
for each in .venv/bin/python "${PYTHON312:-python3.12}" python3.13 python3.14; do
  if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; then
    newer=$("$each" -c 'import sys; print(sys.executable)')
    break
  fi
done
while read -r name _ packages; do
  installed="tests/clients/python/installed/$name"
  python=.venv/bin/python
  if [ "${packages#python>=3.12 }" != "$packages" ]; then
    packages=${packages#python>=3.12 }
    [ -n "$newer" ] || { echo "note: $name needs Python 3.12 or newer, and is left out; name one with PYTHON312=..." >&2; continue; }
    python=$newer
  fi
  # What was installed is written down last: half an installation, or that of another version, begins anew.
  [ "$(cat "$installed/pinned" 2> /dev/null)" = "$packages" ] && continue
  rm -rf "$installed"
  # shellcheck disable=SC2086  # several packages, each a word
  "$python" -m pip install --quiet --disable-pip-version-check --target "$installed" $packages
  [ "$python" = .venv/bin/python ] || echo "$python" > "$installed/python"
  echo "$packages" > "$installed/pinned"
done < tests/clients/python/packages.txt
.venv/bin/python -m pytest -m clients tests/clients -rP "$@"
