#!/bin/bash
# Installs and trains on all hosts of a TPU pod slice; started from any machine with the gcloud command:
#
#   tools/launch/tpu_pod.sh NAME ZONE REPOSITORY CONFIG.py /shared/RUN [--config.option=value ...]
#
# NAME, ZONE: of the slice. REPOSITORY: what `git clone` on the hosts takes. The run folder must lie on a file system that
# all hosts have mounted (Filestore, or a bucket by gcsfuse). A host whose training ends with status 75 (stopped by a signal,
# or because another host was lost) starts it again, and it resumes; any other status ends it. The same command resumes too.
# DRY_RUN=1 prints what the hosts would run.
set -euo pipefail

if [ "$#" -lt 5 ]; then
    echo "usage: $0 NAME ZONE REPOSITORY CONFIG.py RUN [--config.option=value ...]" >&2
    exit 2
fi
name=$1 zone=$2 repository=$3 config=$4 run=$5
shift 5

command=$(printf '%q ' jaxssl/.venv/bin/jaxssl train "$config" --workdir "$run" --coordinator auto "$@")
# The configs are named from the clone's folder.
command="cd jaxssl && while ${command#jaxssl/}; status=\$?; [ \$status -eq 75 ]; do sleep 10; done; exit \$status"
install="test -d jaxssl || git clone $(printf '%q' "$repository") jaxssl"
install+=" && python3 -m venv jaxssl/.venv && jaxssl/.venv/bin/pip install -q -e 'jaxssl[train]' 'jax[tpu]'"

on_all_hosts() {
    if [ -n "${DRY_RUN:-}" ]; then
        printf '%s\n' "$1"
    else
        gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all --command "$1"
    fi
}

on_all_hosts "$install"
on_all_hosts "$command"
