#!/usr/bin/env bash
# Makes .venv, installs, trains SimCLR on the data set that comes with the package for at most 6 minutes on 2 CPU cores,
# and prints how good the encoder is. The run folder is runs/quickstart, or the first argument.
set -euo pipefail
run="$(realpath -m "${1:-runs/quickstart}")"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" train
.venv/bin/jaxssl train configs/image/simclr_fashion_mnist_12k.py --workdir "$run" \
  --config.total_steps=1800 --config.encoder.pool=mean_max --config.max_minutes=5.8
echo "The run folder is $run; 'jaxssl embed', 'jaxssl evaluate' and 'jaxssl export' take it."
