"""The supervised row and distillation of class probabilities: what they read, what they learn, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.build import build
from jaxssl.losses import cross_entropy, kd
from jaxssl.methods.distill import distill
from jaxssl.methods.supervised import accuracy, supervised
from jaxssl.models.heads import head_like, projector
from jaxssl.models.module import forward
from jaxssl.models.module import setup as setup_network
from jaxssl.pretrained import Pretrained

ENCODER = build(dict(name="models.convnet", widths=(8,), strides=(2,), dtype="float32", remat=False))
CLASSES = 3


def batch_of(target, seed=0, label=None):
    views = tuple(jax.random.normal(key, (len(target), 8, 8, 1)) for key in jax.random.split(jax.random.key(seed)))
    batch = {"views": views, "target": jnp.asarray(target, jnp.int32)}
    return batch if label is None else {**batch, "label": jnp.asarray(label, jnp.int32)}


def teacher(classes=CLASSES, parts=("encoder", "head")):
    chain = {"encoder": ENCODER, "head": projector((), classes)}
    chain = {name: chain[name] for name in parts}

    def load():
        params, stats, x = {}, {}, np.zeros((2, 8, 8, 1), np.float32)
        for name, network in chain.items():
            params[name], stats[name] = setup_network(network, jax.random.key(7), x)
            x, _ = forward(network, params[name], stats[name], x)
        return jax.tree.map(np.asarray, {"params": params, "stats": stats})

    return Pretrained(chain, load)


def begin(method, batch):
    frozen = {} if method.frozen is None else {"frozen": method.frozen()}
    params, memory = method.init(jax.random.key(0), {**batch, **frozen})
    return params, {**memory, **frozen}


def value_of(method, batch, params, memory):
    loss = lambda params: method.loss(params, memory, batch, jax.random.key(1), jnp.int32(0))
    (value, out), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    return value, out, gradient


def test_the_loss_is_the_mean_over_views_of_the_cross_entropy_of_known_classes():
    method, batch = supervised(ENCODER, num_classes=CLASSES), batch_of([0, 2, -1, 1])
    params, memory = begin(method, batch)
    value, out, gradient = value_of(method, batch, params, memory)
    logits = []
    for view in batch["views"]:
        h, _ = forward(ENCODER, params["encoder"], memory["stats"]["encoder"], view, train=True)
        logits.append(forward(projector((), CLASSES), params["head"], {}, h, train=True)[0])
    np.testing.assert_allclose(value, np.mean([cross_entropy(s, batch["target"]) for s in logits]), rtol=1e-5)
    known = np.array([True, True, False, True])
    right = np.argmax(logits[0], 1)[known] == np.asarray(batch["target"])[known]
    np.testing.assert_allclose(out.metrics["accuracy"], right.mean(), rtol=1e-6)
    assert all(np.any(x) for x in jax.tree.leaves(gradient))


def test_label_is_never_read_and_hidden_targets_teach_nothing():
    method = supervised(ENCODER, num_classes=CLASSES)
    batch = batch_of([0, 2, -1, 1], label=[0, 2, 2, 1])
    params, memory = begin(method, batch)
    one = value_of(method, batch, params, memory)
    other = value_of(method, {**batch, "label": jnp.zeros(4, jnp.int32)}, params, memory)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), one[2], other[2]))
    value, _, gradient = value_of(method, batch_of([-1] * 4), params, memory)
    assert value == 0 and not any(np.any(x) for x in jax.tree.leaves(gradient))


def test_predict_gives_features_and_logits():
    method, batch = supervised(ENCODER, num_classes=CLASSES), batch_of([0, 1])
    params, memory = begin(method, batch)
    found = method.predict(params, memory, {"x": batch["views"][0]})
    assert set(found) == {"features", "logits", "patches"} and found["logits"].shape == (2, CLASSES)


def test_accuracy():
    logits = np.float32([[3, 0], [0, 3], [0, 3], [3, 0]])
    assert accuracy(logits, np.array([0, 1, 0, -1])) == pytest.approx(2 / 3)
    assert accuracy(logits, np.full(4, -1)) == 0


@pytest.mark.parametrize("label_weight", [0.0, 0.5])
def test_distillation_is_kd_of_the_teachers_logits_on_the_same_view(label_weight):
    network = teacher()
    method = distill(ENCODER, teacher=network, temperature=2.0, label_weight=label_weight)
    batch = batch_of([0, 2, -1, 1])
    params, memory = begin(method, batch)
    value, out, _ = value_of(method, batch, params, memory)
    arrays, terms = network.load(), []
    for view in batch["views"]:
        h, _ = forward(ENCODER, params["encoder"], memory["stats"]["encoder"], view, train=True)
        p, _ = forward(projector((), CLASSES), params["head"], {}, h, train=True)
        q, _ = forward(ENCODER, arrays["params"]["encoder"], arrays["stats"]["encoder"], view)
        q, _ = forward(projector((), CLASSES), arrays["params"]["head"], {}, q)
        terms.append(kd(p, q, temperature=2.0) + label_weight * cross_entropy(p, batch["target"]))
    np.testing.assert_allclose(value, np.mean(terms), rtol=1e-5)
    assert 0 <= out.metrics["agreement"] <= 1
    found = method.predict(params, memory, {"x": batch["views"][0]})
    assert set(found) == {"features", "logits", "patches"} and found["logits"].shape == (4, CLASSES)


def test_distillation_without_labels_reads_no_target():
    batch = batch_of([0, 2, 1, 1])
    del batch["target"]
    for method in (
        distill(ENCODER, teacher=teacher()),
        distill(ENCODER, teacher=teacher(parts=("encoder",)), divergence="mse", hidden_dims=(4,)),
    ):
        params, memory = begin(method, batch)
        value, _, _ = value_of(method, batch, params, memory)
        assert np.isfinite(value) and "features" in method.predict(params, memory, {"x": batch["views"][0]})


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    method, batch = distill(ENCODER, teacher=teacher(), divergence="jeffreys", temperature=1.0), batch_of([0, 1])
    params, memory = begin(method, batch)
    own = memory["frozen"]["params"]
    evaluated = method.predict(own, {**memory, "stats": memory["frozen"]["stats"]}, {"x": batch["views"][0]})
    logits = evaluated["logits"]
    assert jnp.abs(kd(logits, logits)) < 1e-6


def test_what_is_refused():
    batch = batch_of([0, 1])
    with pytest.raises(ValueError, match="method.num_classes=None"):
        supervised(ENCODER)
    method = supervised(ENCODER, num_classes=CLASSES)
    params, memory = begin(method, batch)
    with pytest.raises(
        ValueError, match="reads `target`, which this data has not: data=dict.name='data.subset.labelled'"
    ):
        value_of(method, {"views": batch["views"]}, params, memory)
    with pytest.raises(ValueError, match="divergence='kd': compares class probabilities"):
        distill(ENCODER, teacher=teacher(parts=("encoder",)))
    with pytest.raises(ValueError, match="label_weight=1.0: the teacher has no classifier"):
        distill(ENCODER, teacher=teacher(parts=("encoder",)), divergence="mse", label_weight=1.0)
    with pytest.raises(ValueError, match="num_classes=5: the teacher gives 3 logits"):
        begin(distill(ENCODER, teacher=teacher(), num_classes=5), batch)


@pytest.mark.parametrize(
    "options",
    [
        dict(hidden_dims=()),
        dict(hidden_dims=(6,), norm=False),
        dict(hidden_dims=(6, 5)),
        dict(hidden_dims=(6,), last_norm="batch", bias=False),
        dict(hidden_dims=(6,), last_norm="batch_no_affine"),
    ],
)
def test_a_head_is_rebuilt_from_its_arrays(options):
    head, x = projector(out_dim=4, **options), np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    params, stats = setup_network(head, jax.random.key(0), x)
    again = head_like(params, stats)
    np.testing.assert_array_equal(forward(again, params, stats, x)[0], forward(head, params, stats, x)[0])
    assert jax.tree.structure(setup_network(again, jax.random.key(1), x)) == jax.tree.structure((params, stats))
    with pytest.raises(ValueError, match="not those of a head"):
        head_like({"conv0": {"kernel": x}}, {})
