"""k-means, and the soft assignments of deep embedded clustering."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array


def kmeans(key, x, num_clusters, *, restarts=10, num_iters=50):
    """Centroids [K, D] of k-means on `x` [N, D]: of `restarts` runs the one with the least sum of squared distances.

    Starts are drawn as in k-means++, each centroid with a chance proportional to its squared distance from those
    drawn before; then `num_iters` steps of Lloyd. A centroid without examples stays where it is. No gradient.
    Raises: TypeError, ValueError for integers, wrong shapes, num_clusters outside [1, N].
    Source: Arthur, Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.
    """
    x = jax.lax.stop_gradient(float_array("x", x, rank=2))
    if not 1 <= num_clusters <= len(x):
        raise ValueError(f"num_clusters must lie in [1, {len(x)}], the number of examples; got {num_clusters}")

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
        assigned = jax.nn.one_hot(jnp.argmin(_squared_distances(x, centroids), axis=1), num_clusters, dtype=x.dtype)
        count = assigned.sum(0)[:, None]
        mean = jnp.matmul(assigned.T, x, precision="highest") / jnp.maximum(count, 1)
        return jnp.where(count > 0, mean, centroids)

    def run(key):
        centroids = jax.lax.fori_loop(0, num_iters, step, start(key))
        return centroids, jnp.min(_squared_distances(x, centroids), axis=1).sum()

    centroids, inertia = jax.lax.map(run, jax.random.split(key, restarts))
    return centroids[jnp.argmin(inertia)]


def _squared_distances(x, y):
    """|x_i - y_j|^2 of `x` [N, D] and `y` [M, D]: [N, M], never below 0."""
    cross = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(jnp.sum(x * x, axis=1)[:, None] - 2 * cross + jnp.sum(y * y, axis=1)[None], 0)


def student_t_assignment(z, centroids, *, degrees=1.0):
    """Soft assignment of `z` [N, D] to `centroids` [K, D] by a Student t kernel: q [N, K], rows summing to 1.

    q_ic ~ (1 + |z_i - mu_c|^2 / degrees)^(-(degrees + 1) / 2).
    Source: Xie, Girshick, Farhadi, "Unsupervised Deep Embedding for Clustering Analysis", 2016, arXiv 1511.06335
    (https://arxiv.org/abs/1511.06335).
    """
    z, centroids = float_array("z", z, rank=2), float_array("centroids", centroids, rank=2)
    return jax.nn.softmax(-(degrees + 1) / 2 * jnp.log1p(_squared_distances(z, centroids) / degrees), axis=1)


def target_distribution(q):
    """Sharpened assignments p [N, K] of q [N, K], for balanced clusters: p_ic ~ q_ic^2 / sum_i q_ic. No gradient.

    Source: as `student_t_assignment`.
    """
    q = jax.lax.stop_gradient(float_array("q", q, rank=2))
    weight = jnp.square(q) / jnp.maximum(q.sum(0), jnp.finfo(q.dtype).tiny)
    return weight / jnp.maximum(weight.sum(1, keepdims=True), jnp.finfo(q.dtype).tiny)
