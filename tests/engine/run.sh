#!/usr/bin/env bash
# Runs Slackwater against a real inference engine: `transformers serve` on the CPU, with a tiny random-weights Llama and a
# byte-pair tokenizer made here in seconds. Nothing is fetched from a model hub. Needs a CPU build of torch: a plain
# `pip install torch` brings gigabytes of GPU libraries, so name a CPU wheel with TORCH=... where you have one.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${ENGINE_VENV:-.venv-engine}
torch=${TORCH:-torch==2.13.0}
if [ ! -e "$venv/installed" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$torch"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'transformers[serving]>=5.0' tokenizers
  touch "$venv/installed"
fi
export HF_HUB_OFFLINE=1
model="$venv/tiny-llama"
[ -e "$model/config.json" ] || "$venv/bin/python" tests/engine/make_model.py "$model"
ENGINE_BIN="$venv/bin" ENGINE_MODEL="$(realpath "$model")" .venv/bin/python -m pytest -m engine tests/engine -q "$@"
