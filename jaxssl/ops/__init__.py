"""Parameter-free mathematics; imports only jax and numpy."""

from jaxssl.ops.ema import cosine_momentum, ema_update, momentum_schedule, tree_distance
from jaxssl.ops.masks import RandomMask, random_masked
from jaxssl.ops.norm import l2_normalize
from jaxssl.ops.patches import patchify, unpatchify
from jaxssl.ops.queue import queue_push
from jaxssl.ops.sinkhorn import sinkhorn
from jaxssl.ops.spectral import alignment, effective_rank, entropy, feature_std, uniformity

__all__ = [
    "RandomMask",
    "alignment",
    "cosine_momentum",
    "effective_rank",
    "ema_update",
    "entropy",
    "feature_std",
    "l2_normalize",
    "momentum_schedule",
    "patchify",
    "queue_push",
    "random_masked",
    "sinkhorn",
    "tree_distance",
    "uniformity",
    "unpatchify",
]
