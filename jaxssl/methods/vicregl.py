"""VICRegL: VICReg on whole images, and on the places of two maps that show the same."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, Split, Watch, split_method, statistics
from jaxssl.losses import vicreg_covariance, vicreg_invariance, vicreg_local, vicreg_variance
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.ops import patch_centres
from jaxssl.skeletons.dense import flat, forward_maps, networks_with_maps, predict_maps, setup_maps

CARD = Card("VICRegL", "arXiv:2210.01571", 2022, "image", "redundancy")


def vicregl(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (8192, 8192),
    dim: int = 8192,
    dense_hidden_dims: tuple[int, ...] = (512, 512),
    dense_dim: int = 512,
    global_weight: float = 0.75,
    position_matches: tuple[int, int] = (20, 4),
    feature_matches: tuple[int, int] = (20, 4),
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    norm: bool = True,
) -> Method:
    """VICRegL.

        z = g(f(x)),   Z = G(F(x))
        L = alpha [lambda mean_ij s(z_i, z_j) + mu mean_i v(z_i) + nu mean_i c(z_i)]
            + (1 - alpha) mean_ij local(Z_i, Z_j)

    F is the encoder's last map and f what is pooled of it; G is an expander of single places. i goes over the large
    views, j over all other views. s, v, c are VICReg's invariance, variance and covariance, `local` is
    `losses.vicreg_local`: places matched by position in the image, and by feature. Only the choice of matches is
    stop-gradient.

    This differs from the release (github.com/facebookresearch/VICRegL, main_vicregl.py, transforms.py) in five points.
    The local loss is the mean over all pairs of views; until December 2022 the release kept that of the last pair. The
    covariance is that of every view; with `--fast-vc-reg 1` the release keeps the last view's. The positions of a
    mirrored view are mirrored; by default, `--no-flip-grid 1`, the release leaves them, and a place is matched with its
    mirror image. The number of matches goes with the size of the view whose places are matched; in the release it goes
    with the direction, 20 one way and 4 the other, between two large views too. Only the best feature matches count, as
    published; by default, `--l2_all_matches 1`, the release takes all.

    Args:
      encoder: backbone with a map, [N, H, W, C] -> [N, D] and [N, h, w, D].
      hidden_dims, dim: widths of the expander g; batch norm and ReLU after each hidden layer.
      dense_hidden_dims, dense_dim: likewise of G.
      global_weight: alpha; at 1 the expander G, at 0 the expander g has no gradient.
      position_matches, feature_matches: matches of a large view's places, and of a small view's; 0 for none.
      invariance_weight, variance_weight, covariance_weight: lambda, mu, nu, of both parts.
      norm: the batch norms of the expanders.

    Batch: `views`, two arrays [N, H, W, C], with `boxes` [N, 4] and `flips` [N] of each (augment.return_boxes=True);
    and, where there are, `local_views` with `local_boxes` and `local_flips`. Memory: `stats`.

    Source: Bardes, Ponce, LeCun, VICRegL: Self-Supervised Learning of Local Visual Features, 2022, arXiv:2210.01571,
    https://arxiv.org/abs/2210.01571
    """
    if not 0 <= global_weight <= 1:
        raise ValueError(f"method.global_weight={global_weight}: must lie in [0, 1].")
    head = lambda dims, dim: projector(dims, dim, norm=norm, bias=False, dtype=encoder.dtype)
    heads = head(hidden_dims, dim), head(dense_hidden_dims, dense_dim)
    networks = networks_with_maps("methods.vicregl", encoder, *heads)
    counts = dict(position_matches=position_matches, feature_matches=feature_matches)
    numbers = dict(
        invariance_weight=invariance_weight, variance_weight=variance_weight, covariance_weight=covariance_weight
    )

    def init(key, batch):
        for name in ("boxes", "flips"):
            if name not in batch:
                raise ValueError(f"methods.vicregl needs `{name}` in the batch: set augment.return_boxes=True.")
        params, stats = setup_maps(networks, key, batch["views"][0])
        for kind, side, views in (("large", 0, batch["views"]), ("small", 1, batch.get("local_views", ()))):
            for view in views[:1]:
                places = flat(forward_maps(networks, params, stats, view)[0]["patches"]).shape[1]
                for name, num in counts.items():
                    if not 0 <= num[side] <= places:
                        raise ValueError(
                            f"method.{name}={num}: a {kind} view has {places} places; must be 0 ... {places}."
                        )
        return params, {"stats": stats}

    def embed(params, memory, batch, key, step):
        views = [*batch["views"], *batch.get("local_views", ())]
        stats, found = statistics(memory), []
        for view, key_view in zip(views, jax.random.split(key, len(views)), strict=True):
            out, stats = forward_maps(networks, params, stats, view, train=True, key=key_view)
            found.append(out)
        stacked = {name: jnp.stack([out[name] for out in found], axis=1) for name in ("encoder", "projector")}
        return {**stacked, "maps": tuple(out["dense_projector"] for out in found)}, {**memory, "stats": stats}

    def objective(params, memory, embeddings, batch, key, step):
        z, maps, num_large = embeddings["projector"].swapaxes(0, 1), embeddings["maps"], len(batch["boxes"])
        boxes, flips = ([*batch[name], *batch.get(f"local_{name}", ())] for name in ("boxes", "flips"))
        centres = [patch_centres(b, f, m.shape[1:3]) for b, f, m in zip(boxes, flips, maps, strict=True)]
        # Both orders of two large views have one value.
        pairs = [(i, j) for i in range(num_large) for j in range(i + 1, len(z))]
        times = jnp.array([2.0 if j < num_large else 1.0 for _, j in pairs])
        mean = lambda values: jnp.sum(times * jnp.stack(values)) / times.sum()
        by = lambda pair: {name: tuple(n[int(view >= num_large)] for view in pair) for name, n in counts.items()}
        terms = {
            "invariance": mean([vicreg_invariance(z[i], z[j]) for i, j in pairs]),
            "variance": jnp.stack([vicreg_variance(view) for view in z]).mean(),
            "covariance": jnp.stack([vicreg_covariance(view) for view in z]).mean(),
            "local": mean(
                [
                    vicreg_local(
                        *(flat(maps[view]) for view in pair),
                        *(centres[view] for view in pair),
                        **by(pair),
                        **numbers,
                    )
                    for pair in pairs
                ]
            ),
        }
        whole = sum(numbers[f"{name}_weight"] * terms[name] for name in ("invariance", "variance", "covariance"))
        value = global_weight * whole + (1 - global_weight) * terms["local"]
        return value, Out(memory, terms, Watch(embeddings["encoder"].swapaxes(0, 1), z))

    return split_method(init, Split(embed, objective), predict_maps(networks))
