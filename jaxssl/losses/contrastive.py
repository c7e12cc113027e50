"""Losses that contrast the positive pair with the other rows of the batch or of a queue."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.losses.rows import both, keep, logits_of_both, mask_weights, reduce, rows_that_count, weighted
from jaxssl.ops.checks import float_array, float_pair, positive_scalar
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def nt_xent(
    z1: jax.Array,
    z2: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Normalised temperature-scaled cross entropy of SimCLR over the 2N embeddings of two views.

    mean_i -log(exp(s_ij / T) / sum_{k != i} exp(s_ik / T)), s the cosine, j the other view of i,
    k over all 2N rows.
    `z1`, `z2`: [N, D], normalised inside; row n of both comes from example n. For N = 1 there is no
    negative and the loss is 0.
    `temperature`: T, a number or a (traced) scalar; 0.1 is the paper's value for ImageNet, 0.5
    for CIFAR-10.
    `where`, `reduction`: as in `losses.rows`; an example's value is the mean of its two directions.
    Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, temperature <= 0.
    Source: Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, 2020, arXiv:2002.05709, https://arxiv.org/abs/2002.05709
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    temperature = positive_scalar("temperature", temperature, z1.dtype)
    where = rows_that_count(where, len(z1))
    z1, z2 = l2_normalize(keep(where, z1)), l2_normalize(keep(where, z2))
    itself = jnp.eye(z1.shape[0], dtype=bool)
    across = logits_of_both(where, _products(z1, z2) / temperature)
    within1 = jnp.where(itself, -jnp.inf, logits_of_both(where, _products(z1, z1) / temperature))
    within2 = jnp.where(itself, -jnp.inf, logits_of_both(where, _products(z2, z2) / temperature))
    total1 = logsumexp(jnp.concatenate([across, within1], axis=1), axis=1)
    total2 = logsumexp(jnp.concatenate([across.T, within2], axis=1), axis=1)
    return reduce(where, (total1 + total2) / 2 - jnp.diagonal(across), reduction)


@any_mesh
def info_nce(
    query: jax.Array,
    key: jax.Array,
    negatives: jax.Array | None = None,
    *,
    temperature: float | jax.Array = 0.2,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Cross entropy of finding the key of a query among negatives (MoCo).

    mean_n -log(exp(q_n.k_n / T) / (exp(q_n.k_n / T) + sum_m exp(q_n.c_m / T))). The c_m are `negatives`, or
    with None the keys of the other examples in the batch (MoCo v3, without its factor 2T).
    `query`, `key`: [N, D]; `negatives`: [M, D], for instance a queue; all L2-normalised inside.
    `temperature`: T, a number or a (traced) scalar; 0.2 as in MoCo v2 and v3 (0.07 in the first MoCo).
    `where`, `reduction`: as in `losses.rows`; of `query` and `key`, all `negatives` count.
    `key` and `negatives` are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, temperature <= 0.
    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, 2019,
    arXiv:1911.05722, https://arxiv.org/abs/1911.05722; Chen, Xie, He, An Empirical Study of Training
    Self-Supervised Vision Transformers, 2021, arXiv:2104.02057, https://arxiv.org/abs/2104.02057; van den Oord et al.,
    Representation Learning with Contrastive Predictive Coding, 2018, arXiv:1807.03748, https://arxiv.org/abs/1807.03748
    """
    query, key = float_pair("query", query, "key", key)
    temperature = positive_scalar("temperature", temperature, query.dtype)
    where = rows_that_count(where, len(query))
    query = l2_normalize(keep(where, query))
    key = jax.lax.stop_gradient(l2_normalize(keep(where, key)))
    if negatives is None:
        logits = logits_of_both(where, _products(query, key) / temperature)
        return reduce(where, logsumexp(logits, axis=1) - jnp.diagonal(logits), reduction)
    negatives = float_array("negatives", negatives, rank=2).astype(query.dtype)
    if negatives.shape[1] != query.shape[1]:
        raise ValueError(f"negatives must be [M, D] with D = {query.shape[1]}, got shape {negatives.shape}")
    negatives = jax.lax.stop_gradient(l2_normalize(negatives))
    positive = jnp.sum(query * key, axis=1, keepdims=True)
    logits = jnp.concatenate([positive, _products(query, negatives)], axis=1) / temperature
    return reduce(where, logsumexp(logits, axis=1) - logits[:, 0], reduction)


@any_mesh
def neighbor_contrast(
    z: jax.Array,
    weights: jax.Array,
    *,
    scale: float | jax.Array = 1.0,
    eps: float | jax.Array = 1e-8,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Contrast of every node with all others, its positives weighted by their influence in a graph.

    -mean_i log(sum_j w_ij e_ij / sum_j e_ij + eps),  e_ij = exp(scale * cos(z_i, z_j)) for j != i,  e_ii = 1.
    `z`: [N, D], normalised inside; `weights`: [N, N], not below 0, the influence of j on i, i itself included (rows
    of a power of the normalised adjacency). Rows whose sum is above 1 can make the loss negative. A row without any
    weight gives -log(eps) and no gradient.
    `scale`: multiplies the cosines, the publication's tau. `where`, `reduction`: as in `losses.rows`; of z, and of rows
    and columns of the weights.
    `weights` is stop-gradient.
    Raises: TypeError, ValueError for integers, shapes other than [N, D] and [N, N], scale <= 0.
    Source: Kulatilleke, Portmann, Chandra, SCGC: Self-Supervised Contrastive Graph Clustering, 2022,
    arXiv:2204.12656, https://arxiv.org/abs/2204.12656
    """
    z, weights = float_array("z", z, rank=2), float_array("weights", weights, rank=2)
    if weights.shape != (len(z), len(z)):
        raise ValueError(f"weights must be [N, N] with N = {len(z)}, the rows of z; got shape {weights.shape}")
    scale, eps = positive_scalar("scale", scale, z.dtype), positive_scalar("eps", eps, z.dtype)
    where = rows_that_count(where, len(z))
    z, weights = l2_normalize(keep(where, z)), jax.lax.stop_gradient(weights).astype(z.dtype)
    scores = jnp.where(jnp.eye(len(z), dtype=bool), 0.0, logits_of_both(where, scale * _products(z, z)))
    share = jnp.sum(keep(both(where, len(z)), weights) * jax.nn.softmax(scores, axis=1), axis=1)
    return -reduce(where, jnp.log(share + eps), reduction)


def _products(a, b):
    # Accelerators multiply float32 in reduced precision by default; a small temperature would magnify the error.
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


@any_mesh
def patch_matching(
    pred: jax.Array,
    target: jax.Array,
    *,
    valid: jax.Array | None = None,
    over: str = "targets",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """SSAST's discriminative loss: cross entropy of matching predictions with the hidden patches of their example.

    -mean_ni log(exp(c_ni.x_ni) / sum_j exp(c_ni.x_nj)), c the predictions and x the patches of ONE example n, dot
    products as they are, without norm and temperature. With over='preds' the sum is over exp(c_nj.x_ni), as the release
    has it.
    `pred`, `target`: [N, M, P], the predictions for M hidden patches and the patches themselves. `valid`: [N, M], True
    or 1 = takes part, as row and as candidate; for patches that equal others, such as silence. None: all; the loss is 0
    when none does. `where`, `reduction`: as in `losses.rows`; an example's value with 'none' is that of
    `losses.rows.weighted`. What stands in patches that do not take part reaches nothing.
    `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, another `over`.
    Source: Gong, Lai, Chung, Glass, SSAST: Self-Supervised Audio Spectrogram Transformer, 2021, arXiv:2110.09784,
    https://arxiv.org/abs/2110.09784
    """
    logits, valid = _patch_logits(pred, target, valid, over, where)
    # A row that does not count sees itself only, so that its logarithm exists.
    seen = valid[:, None, :] | jnp.eye(logits.shape[1], dtype=bool)
    total = logsumexp(jnp.where(seen, logits, -jnp.inf), axis=2)
    errors = total - jnp.diagonal(logits, axis1=1, axis2=2)
    return weighted(errors, valid.astype(errors.dtype), reduction)


@any_mesh
def patch_matching_accuracy(
    pred: jax.Array,
    target: jax.Array,
    *,
    valid: jax.Array | None = None,
    over: str = "targets",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Accuracy of `patch_matching`, in [0, 1]: share of the rows whose own patch has the largest product.

    Arguments and errors as there. NaN where a product is NaN.
    """
    logits, valid = _patch_logits(pred, target, valid, over, where)
    candidates = jnp.where(valid[:, None, :], logits, -jnp.inf)
    right = (jnp.argmax(candidates, axis=2) == jnp.arange(logits.shape[1])).astype(logits.dtype)
    right = jnp.where(jnp.isnan(candidates).any(2), jnp.nan, right)
    return weighted(keep(valid, right), valid.astype(right.dtype), reduction)


def _patch_logits(pred, target, valid, over, where):
    """(logits [N, M, M], rows against candidates, the own one on the diagonal; valid bool [N, M])."""
    pred, target = float_pair("pred", pred, "target", target, rank=3)
    if over not in ("targets", "preds"):
        raise ValueError(f"over={over!r}: must be 'targets' or 'preds'.")
    where = rows_that_count(where, len(pred))
    valid = mask_weights("valid", valid, "[N, M]", where, pred.shape[:2], bool)
    pred, target = keep(valid, pred), keep(valid, target)
    logits = jnp.einsum("nip,njp->nij", pred, jax.lax.stop_gradient(target), precision=jax.lax.Precision.HIGHEST)
    return logits if over == "targets" else logits.swapaxes(1, 2), valid
