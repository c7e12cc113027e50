"""CLMR (arXiv:2103.09410) on 1,600 generated notes of eight timbres.

jaxssl train configs/audio/clmr_tones.py --workdir runs/clmr

Without pitch shift, delay and reverberation, so that timbre and pitch are both kept; what a pitch shift does is seen
with `--config.augment.pitch_shift=0.6 --config.data.label=pitch`.
"""

from jaxssl.recipes.audio import quick_sounds, sounds


def get_config(arg=None):
    config = sounds()
    config.total_steps, config.batch_size = 500, 64
    config.data = dict(name="data.sets.tones", mode="resident", train=1600, test=400)
    config.augment = dict(
        name="augment.audio.views",
        size=2187,
        rate=8000,
        polarity=0.8,
        noise=0.5,
        noise_snr=(3.0, 40.0),
        gain=0.3,
        filters=0.8,
        delay=0.0,
        pitch_shift=0.0,
        reverb=0.0,
    )
    config.preprocess = dict(name="augment.audio.plain", size=6561)
    # Six layers for pieces of 0.27 s, where the publication has ten for 2.7 s and a stem of 3; whole notes are
    # evaluated.
    config.encoder = dict(
        name="models.audio.sample_cnn", widths=(32, 64, 96, 128, 192, 256), stem=9, dtype="float32", remat=False
    )
    config.method = dict(name="methods.clmr", hidden_dims=(256,), dim=64, temperature=0.5)
    config.optim.update(learning_rate=2e-3, warmup_steps=50)
    config.log.every, config.checkpoint.every = 50, 500
    if arg == "quick":
        quick_sounds(config)
        config.data.update(train=200, test=40)
        config.augment.size = config.preprocess.size = 729
        # On a busy CPU with several virtual devices XLA's Fourier transform can wait for threads that they hold.
        config.augment.filters = 0.0
        config.encoder.widths = (8, 16, 16)
        config.method.update(hidden_dims=(16,), dim=8)
        config.evaluate.evaluators.few_labels.per_class = (1, 5)
    return config
