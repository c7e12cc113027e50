"""ColloSSL: sensors worn at the same time are views of each other; which ones to trust is measured."""

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.card import Card
from jaxssl.core import Method, Out, Watch
from jaxssl.losses import multiview_contrastive
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.ops import mmd, select_sensors
from jaxssl.skeletons.chain import begin_chain, forward_chain

CARD = Card("ColloSSL", "arXiv:2202.00758", 2022, "series", "contrast", beats=("floor", "untrained"))


def collossl(
    encoder: Module,
    *,
    anchor: int | None = 0,
    policy: str = "closest_pos_all_neg",
    weighted: bool = True,
    hidden_dims: tuple[int, ...] = (256, 128),
    dim: int = 50,
    temperature: float = 0.1,
) -> Method:
    """ColloSSL.

        z^v = g(f(x^v)) for every sensor v;  d_v = MMD^2 between the traces |x^v_t| and those of the anchor a
        L = multiview_contrastive(z^a, positives z^v, negatives z^v of other examples)

    In every batch the sensors closest to the anchor are chosen by d and the policy; positives keep the time of the
    anchor's window, negatives are shuffled over the batch, each sensor by itself, without a fixed point. Weights: 1 for
    positives, 1 / d_v for negatives, all divided by the largest. d and the weights are stop-gradient, nothing else is.
    The features of an example are the concatenated features of its sensors.

    Args:
      encoder: backbone f, [N, T, C] -> [N, D], the same for all sensors.
      anchor: index of the anchor; None: each sensor in turn, and the mean of their losses (not in the publication).
      policy: 'closest_pos_all_neg', 'closest_pos_next_two_neg', 'closest_only' or 'random' (see ops.select_sensors).
      weighted: weigh negatives by 1 / d; else all weights are 1, as always under 'random'.
      hidden_dims, dim: widths of the projector, ReLU between, no norm.
      temperature: tau, > 0.

    Batch: `views`, V arrays [N, T, C], one a sensor; for predict `x` [N, V, T, C]. Memory: `stats`.

    Source: Jain, Tang, Min, Kawsar, Mathur, ColloSSL: Collaborative Self-Supervised Learning for Human Activity
    Recognition, 2022, arXiv:2202.00758, https://arxiv.org/abs/2202.00758
    """
    head = projector(hidden_dims, dim, norm=False, dtype=encoder.dtype)
    chain = {"encoder": encoder, "projector": head}

    def contrast(z, traces, a, key):
        """(loss, distances) with sensor a as the anchor; z [V, N, D], traces [V, N, T]."""
        count, n = z.shape[:2]
        key_select, *keys = jax.random.split(key, count + 1)
        distance = jnp.stack([jnp.zeros(()) if v == a else mmd(traces[a], traces[v]) for v in range(count)])
        positive, negative = select_sensors(distance, a, policy=policy, key=key_select)
        if weighted and policy != "random":
            # Equal sensors have distance 0; beyond this one negative outweighs all positives anyway.
            inverse = negative / jnp.maximum(distance, 1e-6)
            largest = jnp.maximum(jnp.max(inverse), 1.0)
            positive, negative = positive / largest, inverse / largest
        shuffled = jnp.stack([z[v][other_rows(keys[v], n)] for v in range(count)])
        options = dict(positive_weights=positive, negative_weights=negative, temperature=temperature)
        return multiview_contrastive(z[a], z, shuffled, **options), distance

    def loss(params, memory, batch, key, step):
        views, (key_networks, key_contrast) = jnp.stack(batch["views"]), jax.random.split(key)
        count, n = views.shape[:2]
        if count < 2 or n < 2:
            raise ValueError(
                f"batch of {count} sensors, {n} examples: methods.collossl needs two sensors and two examples or more."
            )
        anchors = range(count) if anchor is None else [anchor]
        # Example by example, so that what is sharded over examples stays where it is.
        x = rearrange(views, "v n t c -> (n v) t c")
        out, stats = forward_chain(chain, params, memory["stats"], x, train=True, key=key_networks)
        h, z = (rearrange(out[name], "(n v) d -> v n d", n=n) for name in ("encoder", "projector"))
        traces = jax.lax.stop_gradient(jnp.sqrt(jnp.sum(jnp.square(views), axis=-1)))
        found = [contrast(z, traces, a, jax.random.fold_in(key_contrast, a)) for a in anchors]
        value = sum(part for part, _ in found) / len(found)
        metrics = {"sensor_distance": sum(d.sum() for _, d in found) / len(found)}
        return value, Out({**memory, "stats": stats}, metrics, Watch(h, z))

    def predict(params, memory, batch):
        x = batch["x"]
        out, _ = forward_chain(chain, params, memory["stats"], rearrange(x, "n v t c -> (n v) t c"))
        names = (("features", "encoder"), ("projector", "projector"))
        return {name: rearrange(out[key], "(n v) d -> n (v d)", n=len(x)) for name, key in names}

    return Method(begin_chain(chain), loss, predict, negatives=True)


def other_rows(key: jax.Array, n: int) -> jax.Array:
    """A random permutation of n >= 2 rows without a fixed point: int32 [n]."""
    order = jax.random.permutation(key, n)
    # Each row takes its successor on a random cycle through all rows.
    return jnp.zeros(n, order.dtype).at[order].set(jnp.roll(order, 1))
