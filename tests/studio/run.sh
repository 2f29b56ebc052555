#!/usr/bin/env bash
# Finds a Chromium, installs Debian's where there is none and that is possible, and walks through Studio with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
names="chromium chromium-browser google-chrome google-chrome-stable"
find_browser() { for name in $names; do command -v "$name" && return; done; return 1; }
browser="${SLACKWATER_CHROMIUM:-$(find_browser || true)}"
if [ -z "$browser" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "There is no Chromium; installing Debian's."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null
  browser="$(find_browser || true)"
fi
if [ -z "$browser" ]; then
  echo "error: Chromium or Chrome is needed; install it, or name it with SLACKWATER_CHROMIUM=/path/to/chromium" >&2
  exit 1
fi
SLACKWATER_CHROMIUM="$browser" "${BIN:-.venv/bin}/python" -m pytest -m studio tests/studio -n "${JOBS:-auto}" "$@"
