"""CLIP learns to name what it sees, in small."""

import jax
import pytest

from jaxssl.config import load_config
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup

STEPS = 500


@pytest.mark.slow
def test_zero_shot_with_unseen_templates_names_the_classes():
    """A tenth would be right by chance; several templates a class are together better than one on average."""
    config = load_config(
        "configs/image_text/clip_fashion_captions.py:quick", {"data.limit": "2000", "total_steps": str(STEPS)}
    )
    with config.unlocked():
        config.batch_size, config.optim.warmup_steps = 64, 25
        config.optim.learning_rate = 4e-3
        config.encoder.image.update(widths=(16, 32, 64), strides=(2, 2, 1))
        config.encoder.text.update(embed_dim=32, depth=1, num_heads=2)
        config.method.dim = 32
    experiment = setup(config, devices=jax.devices()[:1])
    evaluation = Evaluation(experiment, ("zero_shot", "linear"))
    state, feed = experiment.initial(), resident_feed(experiment)
    untrained = evaluation.run(state)
    for _ in range(STEPS):
        state, _ = experiment.update(state, feed)
    trained = evaluation.run(state)
    print(untrained, trained)
    assert untrained["zero_shot/top1"] < 0.25
    assert trained["zero_shot/top1"] > 0.5
    assert trained["zero_shot/top1"] >= trained["zero_shot/top1_single_template"]
    assert trained["linear/top1"] > untrained["linear/top1"]
