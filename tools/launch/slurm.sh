#!/bin/bash
# One process a GPU on the nodes of a SLURM job:
#
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 tools/launch/slurm.sh CONFIG.py RUN [--config.option=value ...]
#
# RUN must lie on a file system that all nodes share. The processes find each other through SLURM. When the job is about
# to be cut off, or a node is lost, it goes back to the queue and resumes from the newest checkpoint.
#SBATCH --job-name=jaxssl
#SBATCH --cpus-per-task=8
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=jaxssl-%j.log
#SBATCH --signal=B:TERM@120

set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: sbatch [options] $0 CONFIG.py RUN [--config.option=value ...]" >&2
    exit 2
fi
config=$1 run=$2
shift 2
jaxssl=${JAXSSL:-.venv/bin/jaxssl}

cut_off=
# The processes save and exit on SIGTERM.
# shellcheck disable=SC2317  # called by the trap
stop() {
    cut_off=yes
    kill -TERM "$step" 2>/dev/null || true
}
trap stop TERM

srun --kill-on-bad-exit=1 "$jaxssl" train "$config" --workdir "$run" "$@" &
step=$!
status=0
wait "$step" || status=$?
if [ -n "$cut_off" ]; then
    # The first wait ended with the signal; this one is for the checkpoint.
    wait "$step" || true
fi
# 75: stopped by a signal, or a process was lost; it can be resumed. 128 and more: killed. What is wrong with the input (2)
# or the run itself (1) would only fail again.
if [ -n "$cut_off" ] || [ "$status" -eq 75 ] || [ "$status" -ge 128 ]; then
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"
