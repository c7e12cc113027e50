"""Parameter-free mathematics; imports only jax and numpy."""

from jaxssl.ops.bank import bank_take, bank_update
from jaxssl.ops.cluster import kmeans, student_t_assignment, target_distribution
from jaxssl.ops.correspondence import (
    Matches,
    best_matches,
    nearest_by_feature,
    nearest_by_position,
    patch_centres,
    take_places,
)
from jaxssl.ops.ema import cosine_momentum, ema_init, ema_update, linear_momentum, momentum_schedule, tree_distance
from jaxssl.ops.masks import (
    BlockMask,
    RandomMask,
    clustered_mask_2d,
    hidden_count,
    multi_block_mask_1d,
    partly_hidden,
    random_masked,
)
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.mmd import mmd, pairwise_mmd, select_sensors
from jaxssl.ops.norm import l2_normalize
from jaxssl.ops.patches import patchify, unpatchify
from jaxssl.ops.points import farthest_points, group_points, nearest_points, squared_distances
from jaxssl.ops.queue import queue_push
from jaxssl.ops.sinkhorn import sinkhorn
from jaxssl.ops.spectral import alignment, effective_rank, entropy, feature_std, uniformity
from jaxssl.ops.subsets import ColumnSubsets, disjoint_subsets

__all__ = [
    "BlockMask",
    "ColumnSubsets",
    "Matches",
    "RandomMask",
    "alignment",
    "any_mesh",
    "bank_take",
    "bank_update",
    "best_matches",
    "clustered_mask_2d",
    "cosine_momentum",
    "disjoint_subsets",
    "effective_rank",
    "ema_init",
    "ema_update",
    "entropy",
    "farthest_points",
    "feature_std",
    "group_points",
    "hidden_count",
    "kmeans",
    "l2_normalize",
    "linear_momentum",
    "mmd",
    "momentum_schedule",
    "multi_block_mask_1d",
    "nearest_by_feature",
    "nearest_by_position",
    "nearest_points",
    "pairwise_mmd",
    "partly_hidden",
    "patch_centres",
    "patchify",
    "queue_push",
    "random_masked",
    "select_sensors",
    "sinkhorn",
    "squared_distances",
    "student_t_assignment",
    "take_places",
    "target_distribution",
    "tree_distance",
    "uniformity",
    "unpatchify",
]
