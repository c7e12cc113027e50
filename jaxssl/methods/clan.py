"""CLAN: all normal rows attract each other, and rows with some resampled cells are the negatives."""

import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Watch
from jaxssl.losses import clan as clan_loss
from jaxssl.losses import clan_active_fraction
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("CLAN", "arXiv:2509.06550", 2025, "table", "contrast", beats=("untrained",))


def clan(encoder: Module, *, margin: float = 0.5, alpha: float = 0.5, squared: bool = False) -> Method:
    """CLAN, for the detection of anomalies by training on normal rows only.

        z = f(x),  z' = f(augmented x),  d = (1 - cos) / 2
        L = alpha * mean d(z_i, z_j) + (1 - alpha) * mean relu(margin - d(z_i, z'_j))

    over the pairs whose term is above zero. The anomaly score of a row falls with the cosine between its features and
    the mean of the training features (`evaluators.anomaly`). Nothing is stop-gradient. Equal features of all rows are a
    stationary point of value (1 - alpha) * margin: there `active_fraction` stays at 1.

    Args:
      encoder: f, [N, ...] -> [N, D].
      margin: distance, of at most 1, beyond which a negative is left alone.
      alpha: weight of the positives.
      squared: square both distances.

    Batch: `views`, two inputs of the encoder: the rows, the augmented rows. Memory: `stats`.

    The monitor watches rows and augmented rows together, since the rows alone are meant to collapse to a point.

    Where it differs from the release (github.com/jackwilkie/CLAN): a distance below eps counts neither in the sum nor in
    the number of pairs, which the release takes from the number alone: N^2 of them are rounding. The release trains four
    residual layers of 1,024 (`models.residual_mlp`) for 200 epochs in batches of 8,192 by AdamW without weight decay, at a
    rate of 1e-4 after a warm-up of a tenth, and reports AUROC either way for each attack; the configs here have narrower
    networks, batches of 128 or 256 and a rate of 1e-3, for tables of thousands of rows on a CPU.

    Source: Wilkie, Hindy, Tachtatzis, Atkinson, Contrastive Self-Supervised Network Intrusion Detection using
    Augmented Negative Pairs, 2025, arXiv:2509.06550, https://arxiv.org/abs/2509.06550
    """
    options = dict(margin=margin, squared=squared)

    def objective(out):
        value = clan_loss(*out["encoder"], alpha=alpha, **options)
        return value, {"active_fraction": clan_active_fraction(*out["encoder"], **options)}

    def watch(out):
        z, z_aug = out["encoder"]
        return Watch(jnp.stack([z, z_aug], axis=1).reshape(1, -1, z.shape[-1]))

    return siamese({"encoder": encoder}, objective, watch=watch)
