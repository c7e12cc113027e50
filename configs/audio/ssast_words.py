"""SSAST (arXiv:2110.09784) on 864 bundled words of 54 voices; the test voices are others.

jaxssl train configs/audio/ssast_words.py --workdir runs/ssast
"""

from jaxssl.recipes.audio import quick_sounds, sounds


def get_config(arg=None):
    config = sounds()
    config.total_steps, config.batch_size = 2400, 32
    config.data = dict(name="data.sets.words", mode="resident", limit=None)
    spectrogram = dict(
        rate=8000, size=6400, mels=64, frames=64, window_ms=32.0, hop_ms=12.5, mean=-2.5, std=3.5, floor=1e-3
    )
    config.augment = dict(name="augment.audio.spectrogram", shift=800, **spectrogram)
    config.preprocess = dict(name="augment.audio.plain_spectrogram", **spectrogram)
    config.encoder = dict(
        name="models.audio.vit",
        patch_size=(64, 2),  # whole frames, which the publication found better for speech than squares
        input_size=(64, 64),
        embed_dim=96,
        depth=3,
        num_heads=4,
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.ssast", num_masked=20, cluster=(3, 5), generative_weight=10.0, passes=1)
    config.optim.update(learning_rate=1.5e-3, warmup_steps=50)
    config.log.every, config.checkpoint.every = 100, 1200
    if arg == "quick":
        quick_sounds(config)
        config.data.limit = 96
        for section in (config.augment, config.preprocess):
            section.update(mels=16, frames=32, hop_ms=25.0)
        config.encoder.update(patch_size=(16, 2), input_size=(16, 32), embed_dim=16, depth=2, num_heads=2)
        config.method.num_masked = 10
        config.evaluate.evaluators.few_labels.per_class = (1, 2)
    return config
