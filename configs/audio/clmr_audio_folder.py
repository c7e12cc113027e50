"""CLMR (arXiv:2103.09410) on sound files of your own: music, machines, birds; labels not needed.

jaxssl train configs/audio/clmr_audio_folder.py --data PATH --workdir runs/my_sounds

PATH is a folder of .wav, .flac, .ogg, .mp3 or .aif files, nested as you like; sub-folders, if there are any, are taken
as labels, for the probes only. Files are mixed to one channel, resampled to `rate`, and cut to `seconds` from their
middle (a shorter file is filled up with silence). Files that cannot be read are left out and named in the log.

What to set, as --config.NAME=VALUE:
  total_steps               at least 50 passes over the data
  data.rate, augment.rate   samples a second; pieces are what `augment.size` samples are at this rate
  data.seconds, preprocess.size   how much of a file is kept; evaluation looks at the middle `preprocess.size` samples
  augment.pitch_shift=0.0   where pitch tells what a sound is
  augment.noise, augment.filters, augment.delay, augment.reverb   probabilities of the other changes
  data.in_memory=false, data.mode=stream   where the files do not fit in memory (two bytes a sample)

Both sizes must be multiples of 9 * 3^7 = 19683 (encoder.stem * 3^(number of further widths)). `:quick` trains a tiny
network in seconds, to see that the files are read. Then, to use what was learnt: `jaxssl embed runs/my_sounds --out
features.npz`. There is no number to compare with; configs/audio/clmr_tones.py is measured.
"""

from jaxssl.recipes.audio import quick_sounds, sounds


def get_config(arg=None):
    config = sounds(rate=16_000)
    config.total_steps, config.batch_size = 5000, 64
    config.data = dict(
        name="data.readers.audio_folder", mode="resident", path="", rate=16000, seconds=10.0, in_memory=True
    )
    # The published chain, but for noise, which the release hardly ever adds.
    config.augment = dict(
        name="augment.audio.views",
        size=19683,
        rate=16000,
        polarity=0.8,
        noise=0.3,
        gain=0.3,
        filters=0.8,
        delay=0.3,
        pitch_shift=0.6,
        reverb=0.6,
    )
    config.preprocess = dict(name="augment.audio.plain", size=59049)
    config.encoder = dict(
        name="models.audio.sample_cnn",
        widths=(64, 64, 128, 128, 128, 256, 256, 512),
        stem=9,
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.clmr", hidden_dims=(512,), dim=64, temperature=0.5)
    config.optim.update(learning_rate=3e-4, warmup_steps=100)
    config.evaluate.batch_size = 100
    config.evaluate.evaluators.knn.k = 5
    config.evaluate.evaluators.few_labels.per_class = (1, 5)
    config.evaluate.headline = "few_labels/5_mean"
    if arg == "quick":
        quick_sounds(config, batch_size=16)
        config.data.update(rate=8000, seconds=0.5)
        config.augment.update(size=2187, rate=8000, pitch_shift=0.0, reverb=0.0)
        config.preprocess.size = 2187
        config.encoder.widths = (8, 8, 16, 16)
        config.method.update(hidden_dims=(16,), dim=8)
        config.evaluate.batch_size = 50
        config.evaluate.evaluators.few_labels.per_class = (1,)
        config.evaluate.floors["MFCC statistics"].rate = 8000
    return config
