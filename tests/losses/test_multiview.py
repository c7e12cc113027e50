import jax
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, cosine, normal, x64

from jaxssl.losses import multiview_contrastive


def naive(positive_weights, negative_weights, temperature):
    def loss(anchor, positives, negatives):
        total = 0.0
        for i, z in enumerate(anchor):
            score = lambda views, weights: sum(
                w * np.exp(cosine(z, view[i]) / temperature) for w, view in zip(weights, views)
            )
            p, q = score(positives, positive_weights), score(negatives, negative_weights)
            total += np.log(p + q) - np.log(p)
        return total / len(anchor)

    return loss


INPUTS = normal(0, 4, 3), normal(1, 2, 4, 3), normal(2, 3, 4, 3)


@pytest.mark.parametrize("weights", [((1.0, 1.0), (1.0, 1.0, 1.0)), ((1.0, 0.0), (0.2, 0.0, 1.0))])
def test_value_and_gradients_match_loops(weights):
    options = dict(positive_weights=np.array(weights[0]), negative_weights=np.array(weights[1]), temperature=0.3)
    check_value_and_gradients(lambda *a: multiview_contrastive(*a, **options), naive(*weights, 0.3), INPUTS, {0, 1, 2})


def test_one_positive_and_one_negative_are_a_two_way_choice():
    anchor, positives, negatives = INPUTS[0], INPUTS[1][:1], INPUTS[2][:1]
    with x64():
        value = multiview_contrastive(
            anchor, positives, negatives, positive_weights=np.ones(1), negative_weights=np.ones(1), temperature=0.1
        )
    scores = [[cosine(z, p) / 0.1, cosine(z, q) / 0.1] for z, p, q in zip(anchor, positives[0], negatives[0])]
    expected = np.mean([-np.log(np.exp(s[0]) / (np.exp(s[0]) + np.exp(s[1]))) for s in scores])
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_aligned_positives_cost_less_than_opposite_ones():
    """The sign: the released code has it the other way round."""
    z, other = normal(3, 5, 4), normal(4, 1, 5, 4)
    options = dict(positive_weights=np.ones(1), negative_weights=np.ones(1), temperature=0.1)
    aligned = multiview_contrastive(z, z[None], other, **options)
    opposite = multiview_contrastive(z, -z[None], other, **options)
    assert aligned < 0.5 < opposite
    equal = multiview_contrastive(z, other, other, **options)
    np.testing.assert_allclose(equal, np.log(2), rtol=1e-6)


@pytest.mark.parametrize("case", ["no positive", "no negative", "zero vectors", "one row", "cold"])
def test_extreme_inputs_have_finite_gradients(case):
    anchor, positives, negatives = (np.float32(a) for a in INPUTS)
    positive, negative, temperature = np.ones(2, np.float32), np.ones(3, np.float32), 0.1
    if case == "no positive":
        positive = 0 * positive
    if case == "no negative":
        negative = 0 * negative
    if case == "zero vectors":
        anchor, positives, negatives = 0 * anchor, 0 * positives, 0 * negatives
    if case == "one row":
        anchor, positives, negatives = anchor[:1], positives[:, :1], negatives[:, :1]
    if case == "cold":
        temperature = 0.001
    loss = lambda *a: multiview_contrastive(
        *a, positive_weights=positive, negative_weights=negative, temperature=temperature
    )
    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(anchor, positives, negatives)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)
    if case.startswith("no"):
        assert value == 0 and all((g == 0).all() for g in gradients)
    if case == "zero vectors":
        np.testing.assert_allclose(value, np.log(5 / 2), rtol=1e-6)


def test_weights_get_no_gradient_and_bad_arguments_are_refused():
    loss = lambda w, v: multiview_contrastive(*INPUTS, positive_weights=w, negative_weights=v)
    for gradient in jax.grad(loss, argnums=(0, 1))(np.ones(2, np.float32), np.ones(3, np.float32)):
        np.testing.assert_array_equal(gradient, 0)
    with pytest.raises(ValueError, match="positive_weights"):
        loss(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="negatives"):
        multiview_contrastive(*INPUTS[:2], INPUTS[2][:, :2], positive_weights=np.ones(2), negative_weights=np.ones(3))
    with pytest.raises(ValueError, match="temperature"):
        multiview_contrastive(*INPUTS, positive_weights=np.ones(2), negative_weights=np.ones(3), temperature=0)
