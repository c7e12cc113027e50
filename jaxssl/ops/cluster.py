"""k-means, and the soft assignments of deep embedded clustering."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, positive_int, positive_scalar
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.points import squared_distances


@any_mesh
def kmeans(key: jax.Array, x: jax.Array, num_clusters: int, *, restarts: int = 10, num_iters: int = 50) -> jax.Array:
    """Centroids [K, D] of k-means on `x` [N, D]: of `restarts` runs the one with the least sum of squared distances.

    Initialisation by k-means++, each centroid with a probability proportional to its squared distance from those drawn
    before; then `num_iters` steps of Lloyd's algorithm. A centroid without examples does not move. No gradient.
    Raises: TypeError, ValueError for integers, wrong shapes, num_clusters outside [1, N].
    Source: Arthur, Vassilvitskii, k-means++: The Advantages of Careful Seeding, 2007, SODA 2007.
    """
    x = jax.lax.stop_gradient(float_array("x", x, rank=2))
    positive_int("restarts", restarts)
    positive_int("num_iters", num_iters, least=0)
    positive_int("num_clusters", num_clusters, least=-1)
    if not 1 <= num_clusters <= len(x):
        raise ValueError(f"num_clusters={num_clusters}: must lie in [1, {len(x)}], the number of examples.")

    def start(key):
        def draw(i, carry):
            centroids, nearest = carry
            # log(0) = -inf keeps the examples that are centroids out, unless all are.
            chosen = jax.random.categorical(jax.random.fold_in(key, i), jnp.log(nearest))
            centroids = centroids.at[i].set(x[chosen])
            return centroids, jnp.minimum(nearest, jnp.sum(jnp.square(x - x[chosen]), axis=1))

        chosen = jax.random.randint(key, (), 0, len(x))
        first = jnp.zeros((num_clusters, x.shape[1]), x.dtype).at[0].set(x[chosen])
        nearest = jnp.sum(jnp.square(x - x[chosen]), axis=1)
        return jax.lax.fori_loop(1, num_clusters, draw, (first, nearest))[0]

    def step(_, centroids):
        assigned = jax.nn.one_hot(jnp.argmin(squared_distances(x, centroids), axis=1), num_clusters, dtype=x.dtype)
        count = assigned.sum(0)[:, None]
        mean = jnp.matmul(assigned.T, x, precision="highest") / jnp.maximum(count, 1)
        return jnp.where(count > 0, mean, centroids)

    def run(key):
        centroids = jax.lax.fori_loop(0, num_iters, step, start(key))
        return centroids, jnp.min(squared_distances(x, centroids), axis=1).sum()

    centroids, inertia = jax.lax.map(run, jax.random.split(key, restarts))
    return centroids[jnp.argmin(inertia)]


@any_mesh
def student_t_assignment(z: jax.Array, centroids: jax.Array, *, degrees: float | jax.Array = 1.0) -> jax.Array:
    """Soft assignment of `z` [N, D] to `centroids` [K, D] by a Student t kernel: q [N, K], rows summing to 1.

    q_ic ~ (1 + |z_i - mu_c|^2 / degrees)^(-(degrees + 1) / 2).
    Raises: TypeError, ValueError for integers, shapes that do not fit, degrees <= 0.
    Source: Xie, Girshick, Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016, arXiv:1511.06335,
    https://arxiv.org/abs/1511.06335
    """
    z, centroids = float_array("z", z, rank=2), float_array("centroids", centroids, rank=2)
    if z.shape[1] != centroids.shape[1]:
        raise ValueError(f"z and centroids must be [N, D] and [K, D], got shapes {z.shape} and {centroids.shape}")
    degrees = positive_scalar("degrees", degrees, jnp.promote_types(z.dtype, centroids.dtype))
    # One centroid after the other, differences again in the backward pass: they are never stored as [N, K, D].
    distance = jax.checkpoint(lambda centroid: jnp.sum(jnp.square(z - centroid), axis=1))
    distances = jax.lax.map(distance, centroids).T
    return jax.nn.softmax(-(degrees + 1) / 2 * jnp.log1p(distances / degrees), axis=1)


@any_mesh
def target_distribution(q: jax.Array) -> jax.Array:
    """Sharpened assignments p [N, K] of q [N, K], for balanced clusters: p_ic ~ q_ic^2 / sum_i q_ic. No gradient.

    Raises: TypeError, ValueError for integers or a wrong rank.
    Source: that of `student_t_assignment`.
    """
    q = jax.lax.stop_gradient(float_array("q", q, rank=2))
    weight = jnp.square(q) / jnp.maximum(q.sum(0), jnp.finfo(q.dtype).tiny)
    return weight / jnp.maximum(weight.sum(1, keepdims=True), jnp.finfo(q.dtype).tiny)
