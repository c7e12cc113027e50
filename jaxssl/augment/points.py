"""Views of clouds of points, and the preprocessing for evaluation.

Every factory returns `augment(key, batch) -> batch`. The batch has `points` [N, P, 3], the third axis vertical. The
result has `views` (or `x`, from `plain`) in their place and keeps all other entries. First of all every cloud is moved
and scaled into the unit sphere: mean at the origin, farthest point at distance 1. An option out of range raises
ValueError by name.
"""

import jax
import jax.numpy as jnp

from jaxssl.augment.dtypes import real
from jaxssl.core import Augment

ROTATIONS = ("none", "vertical", "any")


def plain() -> Augment:
    """Preprocessing for evaluation, deterministic: `x` float32 [N, P, 3] in the unit sphere. The key is not used."""

    def preprocess(key, batch):
        del key
        return _rest(batch) | {"x": unit_sphere(_points(batch))}

    return preprocess


def views(
    *,
    num_views: int = 1,
    rotation: str = "vertical",
    scale: tuple[float, float] = (2 / 3, 3 / 2),
    translate: float = 0.2,
    jitter: float = 0.0,
    keep: tuple[float, float] = (1.0, 1.0),
) -> Augment:
    """Views of every cloud: `views`, arrays float32 [N, P, 3].

    In this order, each step drawn anew for every view: part of the cloud, unit sphere, rotation, scale, translation,
    jitter. The defaults for scale and translation are those of Point-MAE and Point-CMAE, which do not rotate.

    Args:
      num_views: V; 1 for methods that hide parts themselves.
      rotation: 'none', 'vertical' (about the third axis), or 'any'.
      scale: range of a factor for each axis.
      translate: largest shift along each axis.
      jitter: standard deviation of the noise of every coordinate.
      keep: range of the share of points that are seen from a random side; the others are replaced by some of these.
    """
    if not isinstance(num_views, int) or num_views < 1:
        raise ValueError(f"num_views={num_views!r}: must be an integer of at least 1.")
    if rotation not in ROTATIONS:
        raise ValueError(f"rotation={rotation!r}: must be one of {ROTATIONS}.")
    for name, value, most in (("scale", scale, float("inf")), ("keep", keep, 1)):
        if len(value) != 2 or not 0 < value[0] <= value[1] <= most:
            raise ValueError(f"{name}={value}: must be a range above 0{' up to 1' if most == 1 else ''}.")
    for name, value in (("translate", translate), ("jitter", jitter)):
        if not value >= 0:
            raise ValueError(f"{name}={value}: must be at least 0.")

    def view(key, x):
        keys = jax.random.split(key, 5)
        x = see_part(keys[0], x, keep) if tuple(keep) != (1.0, 1.0) else x
        x = unit_sphere(x)
        x = rotate(keys[1], x, vertical=rotation == "vertical") if rotation != "none" else x
        x = x * jax.random.uniform(keys[2], (3,), minval=scale[0], maxval=scale[1])
        x = x + jax.random.uniform(keys[3], (3,), minval=-translate, maxval=translate)
        return x + jitter * jax.random.normal(keys[4], x.shape) if jitter else x

    def augment(key, batch):
        x = _points(batch)
        keys = jax.random.split(key, (num_views, x.shape[0]))
        return _rest(batch) | {"views": tuple(jax.vmap(jax.vmap(view), in_axes=(0, None))(keys, x))}

    return augment


def unit_sphere(x: jax.Array) -> jax.Array:
    """Clouds [..., P, 3] with their mean at the origin and their farthest point at distance 1; one point stays at 0."""
    x = real(x, "x")
    x = x - x.mean(-2, keepdims=True)
    farthest = jnp.max(jnp.sum(jnp.square(x), axis=-1), axis=-1)[..., None, None]
    return x * jax.lax.rsqrt(jnp.maximum(farthest, 1e-12))


def rotate(key: jax.Array, x: jax.Array, *, vertical: bool = True) -> jax.Array:
    """A cloud [P, 3] turned by a random angle about the third axis, or, uniformly, by any rotation."""
    x = real(x, "x")
    if vertical:
        angle = jax.random.uniform(key, (), maxval=2 * jnp.pi)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return x @ jnp.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    # A uniform unit quaternion is a uniform rotation.
    w, a, b, c = (lambda q: q / jnp.linalg.norm(q))(jax.random.normal(key, (4,)))
    matrix = jnp.array(
        [
            [1 - 2 * (b * b + c * c), 2 * (a * b - w * c), 2 * (a * c + w * b)],
            [2 * (a * b + w * c), 1 - 2 * (a * a + c * c), 2 * (b * c - w * a)],
            [2 * (a * c - w * b), 2 * (b * c + w * a), 1 - 2 * (a * a + b * b)],
        ]
    )
    return x @ matrix.T


def see_part(key: jax.Array, x: jax.Array, keep: tuple[float, float]) -> jax.Array:
    """The points of a cloud [P, 3] nearest to a random viewer, a share in the range `keep`, filled up to P again."""
    key_side, key_share, key_fill = jax.random.split(key, 3)
    x = real(x, "x")
    size = x.shape[0]
    share = jax.random.uniform(key_share, (), minval=keep[0], maxval=keep[1])
    count = jnp.clip(jnp.round(share * size).astype(jnp.int32), 1, size)
    order = jnp.argsort(-(x @ jax.random.normal(key_side, (3,))))
    place = jnp.arange(size)
    again = jax.random.randint(key_fill, (size,), 0, count)
    return x[order[jnp.where(place < count, place, again)]]


def _points(batch):
    if "points" not in batch:
        raise ValueError(f"augmentations of clouds need the array `points`, got {sorted(batch)}")
    return real(batch["points"], "points")


def _rest(batch):
    return {name: value for name, value in batch.items() if name != "points"}
