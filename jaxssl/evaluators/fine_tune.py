"""Accuracy of the whole network, trained further on a few labels per class."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl.core import trainable
from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.extract import ask, column, on_host
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable, scope_of
from jaxssl.evaluators.few_labels import check_counts, draw_rows


@columns(Column("fine_tune/{n}_mean", "{n} label{s} a class, fine-tuned"))
def fine_tune(
    data: EvaluationData,
    *,
    per_class: tuple[int, ...] = (10,),
    draws: int = 3,
    seed: int = 0,
    steps: int = 100,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    label: str = "label",
) -> Callable:
    """Test accuracy in [0, 1] of the encoder and a new linear layer, both trained on n labels per class.

        h = f(x) / (mean norm of f at the start),   L = cross entropy of softmax(h W + b),   W, b zero at first

    The row of the untrained encoder is then supervised training of the same network on the same labels alone, which is
    what self-supervision has to beat. `fine_tune/<n>_mean` and `fine_tune/<n>_std` over the draws, whose rows are those of
    `few_labels` with the same seed. Adam at a constant rate, the evaluation's preprocessing without augmentation, and
    networks in inference mode: no dropout, and batch norms keep their statistics. An untrained network keeps those it
    started with, so that its row is lower than supervised training could reach. All that `predict` reads of parameters and
    memory is trained, but for those statistics; the state itself is left as it is. Costs `draws` trainings for each n.

    Args:
      per_class: values of n.
      draws, seed: as in `few_labels`.
      steps: of Adam for every draw.
      batch_size: most rows of a step, the next ones of the draw in turn.
      learning_rate: of Adam.
      label: the array int [N] of the batches that is predicted. With another one than the default, the results are
        called '<label>/fine_tune/...'.

    Raises:
      LabelsNeeded: at build time, without labels or a test set; when run, if a class has fewer than n labels.
      NotApplicable: for a row in which nothing can be trained, as raw input.
      ValueError: bad options.
    """
    data.need_labels("fine_tune", label)
    per_class = tuple(sorted(set(per_class)))
    if not per_class or not all(isinstance(n, int) and n > 0 for n in per_class):
        raise ValueError(f"per_class={per_class}: must be one or more positive integers.")
    for name, count in (("draws", draws), ("steps", steps), ("batch_size", batch_size)):
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}={count!r}: must be an integer of at least 1.")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate={learning_rate!r}: must be positive.")

    def run(predict, state) -> dict[str, float]:
        labels, index = _labels(data, label)
        if not labels.size:
            raise LabelsNeeded("fine_tune: no example of the training set has a label")
        usual = label == "label"
        num_classes = data.num_classes if usual else int(labels.max()) + 1
        check_counts("fine_tune", labels, num_classes, per_class[-1], data.class_names if usual else None)
        drawn = {n: draw_rows(labels, n, num_classes=num_classes, draws=draws, seed=seed) for n in per_class}
        kept = np.unique(np.concatenate([rows.ravel() for rows in drawn.values()]))
        examples = _examples(data, index[kept])
        network = Network(predict, state)
        network.check({name: x[:1] for name, x in examples.items()})
        metrics = {}
        for n, draw in drawn.items():
            size = min(batch_size, n * num_classes)
            train = _trainer(network, optax.adam(learning_rate), steps, size, num_classes)
            scores = []
            for k, rows in enumerate(draw):
                # Mixed, because a draw is class by class and a step may take a part of it.
                rows = np.random.default_rng([seed, k]).permutation(rows)
                places = np.searchsorted(kept, rows)
                leaves, weight, bias = train({name: x[places] for name, x in examples.items()}, labels[rows])
                test = data.outputs(predict, network.state(leaves), ("features",), arrays=(label,))
                known = test[label] >= 0
                if not known.any():
                    raise LabelsNeeded("fine_tune: no example of the test set has a label")
                logits = test["features"][known] @ np.asarray(weight) + np.asarray(bias)
                scores.append(np.mean(np.argmax(logits, axis=1) == test[label][known]))
            metrics[f"fine_tune/{n}_mean"] = float(np.mean(scores))
            metrics[f"fine_tune/{n}_std"] = float(np.std(scores, ddof=min(1, draws - 1)))
        return scoped(metrics, scope_of(label=label))

    return run


class Network:
    """`predict` as a function of the arrays of a state that may be trained, `leaves`."""

    def __init__(self, predict: Callable, state: Any):
        self.predict, self.step = ask(predict, ("features",)), state.step
        found, self.treedef = jax.tree_util.tree_flatten_with_path((state.params, state.memory))
        self.all = [leaf for _, leaf in found]
        self.places = [i for i, (path, leaf) in enumerate(found) if _trainable(path, leaf)]
        self.leaves = [self.all[i] for i in self.places]

    def state(self, leaves: list[jax.Array]) -> SimpleNamespace:
        """The state with other arrays."""
        replaced = list(self.all)
        for i, leaf in zip(self.places, leaves, strict=True):
            replaced[i] = leaf
        params, memory = jax.tree.unflatten(self.treedef, replaced)
        return SimpleNamespace(params=params, memory=memory, step=self.step)

    def __call__(self, leaves: list[jax.Array], batch: Mapping[str, Any]) -> jax.Array:
        """Features [N, D]."""
        state = self.state(leaves)
        return self.predict(state.params, state.memory, batch)["features"]

    def check(self, batch: Mapping[str, Any]) -> None:
        """Raises NotApplicable unless the features of a batch have a gradient."""

        def total(leaves):
            h = self(leaves, batch)
            # Not a sum of squares: that of normed features is the same for all networks.
            return jnp.sum(h * jnp.cos(jnp.arange(h.shape[-1])))

        try:
            gradient = jax.grad(total)(self.leaves) if self.leaves else []
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise NotApplicable("fine_tune: the features of this row are not computed by a network") from error
        if not any(np.any(on_host(g)) for g in gradient):
            raise NotApplicable("fine_tune: the features of this row have nothing that can be trained")


def _trainable(path, leaf):
    """Float arrays, but no statistics of batch norms and no networks that are kept as they came."""
    in_params, names = path[0].idx == 0, tuple(getattr(part, "key", "") for part in path[1:])
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating) and (in_params or trainable(names))


def _trainer(network, tx, steps, size, num_classes):
    """(examples, labels) -> (leaves, weight, bias) after `steps` steps of `size` rows."""

    def train(leaves, batch, labels):
        take = lambda tree, rows: jax.tree.map(lambda x: x[rows], tree)
        first = network(leaves, take(batch, jnp.arange(size)))
        scale = jnp.maximum(jnp.mean(jnp.linalg.norm(first, axis=-1)), 1e-12)
        weight = jnp.zeros((first.shape[-1], num_classes))
        params = (leaves, weight, jnp.zeros(num_classes))

        def loss(params, rows):
            leaves, weight, bias = params
            logits = network(leaves, take(batch, rows)) / scale @ weight + bias
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

        def one(carry, step):
            params, opt_state = carry
            rows = (step * size + jnp.arange(size)) % labels.shape[0]
            updates, opt_state = tx.update(jax.grad(loss)(params, rows), opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        (params, _), _ = jax.lax.scan(one, (params, tx.init(params)), jnp.arange(steps))
        leaves, weight, bias = params
        return leaves, weight / scale, bias

    compiled = jax.jit(train)
    return lambda batch, labels: compiled(network.leaves, batch, labels)


def _labels(data, label):
    """(labels, example ids) of the training examples that have a label, in the order of the ids."""
    labels, index, seen = [], [], 0
    for batch in data.train_batches():
        rows = len(jax.tree.leaves(batch)[0])
        if label != "label" and label not in batch:
            raise LabelsNeeded(f"fine_tune: label='{label}': the batches have no such array; they have {sorted(batch)}")
        found = column(batch, label, np.full(rows, -1, np.int32))
        kept = column(batch, "_mask", np.ones(rows, bool)).astype(bool) & (found >= 0)
        labels.append(found[kept])
        index.append(column(batch, "index", seen + np.arange(rows))[kept])
        seen += rows
    labels, index = np.concatenate(labels), np.concatenate(index)
    order = np.argsort(index, kind="stable")
    return labels[order], index[order]


def _examples(data, ids):
    """The arrays of the examples with these ids (increasing), on the host."""
    parts, found, seen = [], [], 0
    for batch in data.train_batches():
        rows = len(jax.tree.leaves(batch)[0])
        index = column(batch, "index", seen + np.arange(rows))
        kept = np.isin(index, ids) & column(batch, "_mask", np.ones(rows, bool)).astype(bool)
        seen += rows
        if kept.any():
            parts.append({name: on_host(x)[kept] for name, x in batch.items() if name != "_mask"})
            found.append(index[kept])
    order = np.argsort(np.concatenate(found), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
