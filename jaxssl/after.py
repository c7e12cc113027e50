"""Functions for the end of a stage: each writes a file to the run folder, whole or not at all, for later stages."""

import logging
from pathlib import Path

import numpy as np

from jaxssl.files import whole_file

log = logging.getLogger("jaxssl")


def embed(run: str | Path, *, output: str = "embed.npz", step: int | None = None) -> Path:
    """Writes the features of the training examples of a run.

    Args:
      run: run folder.
      output: .npz file in it: `features` float32 [N, D], `index` int64 [N], `label` int32 [N] (-1 = none).
      step: of the checkpoint; default the newest.

    Returns:
      The file.
    """
    from jaxssl.cli import open_run
    from jaxssl.evaluate import embed as features_of

    experiment, state = open_run(str(run), step=step, trust=True)
    features, _, label, index = features_of(experiment, state, experiment.splits.train)
    file = Path(run) / output
    with whole_file(file) as opened:
        np.savez(opened, features=features, index=index, label=label)
    log.info("%s: %d rows of %d features", file, *features.shape)
    return file
