"""SSAST: match predictions with the hidden patches of a spectrogram, and reconstruct these patches."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import jepa, patch_matching, patch_matching_accuracy
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.models.positions import take_tokens
from jaxssl.models.tokens import Hide, needs
from jaxssl.ops import clustered_mask_2d, partly_hidden
from jaxssl.skeletons.masked import Predicted, masked

CARD = Card("SSAST", "arXiv:2110.09784", 2021, "audio", "reconstruction", beats=("floor", "untrained"))


def ssast(
    encoder: Module,
    *,
    num_masked: int = 400,
    cluster: tuple[int, int] = (3, 5),
    discriminative_weight: float = 1.0,
    generative_weight: float = 10.0,
    over: str = "targets",
    passes: int = 1,
    min_std: float = 1e-3,
) -> Method:
    """SSAST.

        o = f(patches, hidden ones replaced by a mask token),  c = g_c(o),  r = g_r(o)  at the hidden patches
        L = w_d patch_matching(c, x) + w_g mean | r - x |^2

    with x the hidden patches, which are data and stop-gradient. Features are the mean of the tokens.

    Args:
      encoder: a transformer of models.audio.
      num_masked: M, the number of hidden patches of every example; at least one and not all.
      cluster: (least, most) side of the square blocks that are hidden; (1, 1) for single patches.
      discriminative_weight, generative_weight: w_d, w_g; a weight of 0 leaves the term and its head out.
      over: 'targets', the publication's sum over the patches; 'preds', the release's sum over the predictions.
      passes: 1, both terms share one mask (the publication's algorithm); 2, each has its own mask and pass (the release).
      min_std: hidden patches with a smaller standard deviation take no part in the matching, since all silence is equal.

    Batch: `views`, one array [N, bands, frames, 1]. Memory: empty.

    Source: Gong, Lai, Chung, Glass, SSAST: Self-Supervised Audio Spectrogram Transformer, 2021, arXiv:2110.09784,
    https://arxiv.org/abs/2110.09784
    """
    needs(encoder, "methods.ssast", "masked", "targets", example="models.audio.vit")
    if passes not in (1, 2):
        raise ValueError(f"method.passes={passes!r}: must be 1 or 2.")
    weights = {"discriminative": discriminative_weight, "generative": generative_weight}
    if min(weights.values()) < 0 or not any(weights.values()):
        raise ValueError(
            f"method.discriminative_weight={discriminative_weight}, method.generative_weight={generative_weight}: must be"
            " at least 0, and one of them above 0."
        )
    parts = [name for name, weight in weights.items() if weight]
    dim = encoder.embed_dim
    # Under 'preds' a last bias would add the same to all that a row compares, and get no gradient.
    biases = {name: name == "generative" or over == "targets" for name in parts}

    def head(name, values):
        return projector((dim,), values, norm=False, bias=biases[name], dtype=encoder.dtype)

    def draw(key, x):
        """(masked bool [N, L], numbers of the hidden patches [N, M])."""
        rows, columns = encoder.grid_of(x)
        partly_hidden(num_masked, rows * columns, option=f"method.num_masked={num_masked}")
        hidden = clustered_mask_2d(key, x.shape[0], (rows, columns), num_masked, cluster=tuple(cluster))
        return hidden, jnp.argsort(~hidden, axis=1, stable=True)[:, :num_masked]

    def forward_pass(nets, x, key):
        patches = encoder.patches_of(x).astype(jnp.float32)
        tokens, ids, metrics, value = None, None, {}, 0.0
        for i, name in enumerate(parts):
            if tokens is None or passes == 2:
                key_mask, key_encoder = jax.random.split(jax.random.fold_in(key, i))
                hidden, ids = draw(key_mask, x)
                found = nets("encoder", encoder, x, key=key_encoder, hide=Hide(masked=hidden), method="encode")
                tokens = found.patches
            target = take_tokens(patches, ids)
            pred = nets(name, head(name, patches.shape[-1]), take_tokens(tokens, ids))
            if name == "generative":
                part = jepa(pred, target, kind="l2")
            else:
                options = dict(valid=target.std(-1) >= min_std, over=over)
                part = patch_matching(pred, target, **options)
                metrics["matching_accuracy"] = patch_matching_accuracy(pred, target, **options)
            metrics[f"{name}_loss"] = part
            value = value + weights[name] * part
        return Predicted(value, tokens.mean(1), metrics)

    return masked(encoder, forward_pass, ("encoder", *parts))
