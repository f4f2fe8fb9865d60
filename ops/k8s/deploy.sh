#!/usr/bin/env bash
# Deploy an overlay to the current context of kubectl: ops/k8s/deploy.sh [OVERLAY] [--dry-run]. `just deploy` runs it.
#
# 1. Render the overlay and validate it. With --dry-run print it and stop: no cluster is used.
# 2. Let the API server validate it without a change. It knows whether the operators of Prometheus are installed.
# 3. Apply the Job auth1-migrate and what it needs. The Job checks settings and services, then migrates. If it fails,
#    nothing else is applied, and the running version serves on.
# 4. Apply all of it, and wait for the rollout.
set -euo pipefail
cd "$(dirname "$0")/../.."

MIGRATION_TIMEOUT_S=3600 # indexes of large tables are built beside the running version
overlay=prod
dry_run=
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=1 ;;
        -*) echo "Unknown option $argument. Use: deploy.sh [OVERLAY] [--dry-run]" >&2; exit 2 ;;
        *) overlay=$argument ;;
    esac
done
folder=ops/k8s/overlays/$overlay
[ -d "$folder" ] || { echo "There is no overlay $folder." >&2; exit 2; }
command -v kubectl > /dev/null || { echo "kubectl is not installed." >&2; exit 1; }

stop() {
    echo "$1" >&2
    exit 1
}

migration_is_complete() {
    local conditions deadline=$((SECONDS + MIGRATION_TIMEOUT_S))
    while [ "$SECONDS" -lt "$deadline" ]; do
        conditions=$(kubectl get job auth1-migrate --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
        case " $conditions " in
            *" Complete "*) return 0 ;;
            *" Failed "*) return 1 ;;
        esac
        sleep 2
    done
    return 1
}

manifests=$(mktemp)
trap 'rm -f "$manifests"' EXIT
kubectl kustomize "$folder" > "$manifests"
"${PYTHON:-.venv/bin/python}" -m tests.ops.manifests < "$manifests" >&2
if [ "$dry_run" ]; then
    cat "$manifests"
    exit
fi

namespace=$(kubectl config view --minify --output 'jsonpath={..namespace}')
echo "Will apply to context $(kubectl config current-context), namespace ${namespace:-default}:"
awk '/^kind: / { kind = $2 } /^  name: / { print "  " kind " " $2 }' "$manifests"
kubectl get secret auth1-secrets > /dev/null ||
    stop "Nothing was applied: there is no secret auth1-secrets. ops/k8s/base/kustomization.yaml shows how to make it."
[ -z "$(kubectl get job auth1-migrate --ignore-not-found --output 'jsonpath={.status.active}')" ] ||
    stop "Nothing was applied: the Job auth1-migrate of another deployment is running."
kubectl delete job auth1-migrate --ignore-not-found # the fields of a Job cannot be changed
kubectl apply --dry-run=server --filename "$manifests" > /dev/null ||
    stop "Nothing was applied: the cluster rejects the manifests."

kubectl apply --filename "$manifests" --selector deploy=before-rollout
status=0
migration_is_complete || status=$?
for container in check migrate; do
    kubectl logs --selector app=auth1-migrate --container "$container" --tail=-1 || true
done
[ "$status" = 0 ] || stop "The Job auth1-migrate failed. The running version was not changed."

kubectl apply --filename "$manifests"
kubectl rollout status deployment/auth1 --timeout=10m
