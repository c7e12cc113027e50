"""Losses as pure functions of arrays, one file per mathematical family; imports only jax and numpy."""

from jaxssl.losses.chunked import clip_chunked, info_nce_chunked, nt_xent_chunked, sigmoid_pairs_chunked
from jaxssl.losses.classification import cross_entropy
from jaxssl.losses.clustering import dec, dino, dino_center, swav
from jaxssl.losses.contrastive import info_nce, neighbor_contrast, nt_xent, patch_matching, patch_matching_accuracy
from jaxssl.losses.dense import dense_info_nce, vicreg_local
from jaxssl.losses.distillation import jeffreys, js, kd, soft_cross_entropy
from jaxssl.losses.language import masked_token_cross_entropy
from jaxssl.losses.margin import clan, clan_active_fraction
from jaxssl.losses.multiview import multiview_contrastive
from jaxssl.losses.pairs import clip, sigmoid_pairs
from jaxssl.losses.predictive import jepa
from jaxssl.losses.reconstruction import chamfer, masked_patch_mse, masked_token_mse, scaled_cosine_error
from jaxssl.losses.redundancy import barlow_twins, vicreg, vicreg_covariance, vicreg_invariance, vicreg_variance
from jaxssl.losses.similarity import byol, comasked_consistency, negative_cosine_similarity

__all__ = [
    "barlow_twins",
    "byol",
    "chamfer",
    "clan",
    "clan_active_fraction",
    "clip",
    "clip_chunked",
    "comasked_consistency",
    "cross_entropy",
    "dec",
    "dense_info_nce",
    "dino",
    "dino_center",
    "info_nce",
    "info_nce_chunked",
    "jeffreys",
    "jepa",
    "js",
    "kd",
    "masked_patch_mse",
    "masked_token_cross_entropy",
    "masked_token_mse",
    "multiview_contrastive",
    "negative_cosine_similarity",
    "neighbor_contrast",
    "nt_xent",
    "nt_xent_chunked",
    "patch_matching",
    "patch_matching_accuracy",
    "scaled_cosine_error",
    "sigmoid_pairs",
    "sigmoid_pairs_chunked",
    "soft_cross_entropy",
    "swav",
    "vicreg",
    "vicreg_covariance",
    "vicreg_invariance",
    "vicreg_local",
    "vicreg_variance",
]
