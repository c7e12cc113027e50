"""Views of sound, spectrograms, and the preprocessing for evaluation.

Every factory returns `augment(key, batch) -> batch`. The batch has `audio` [N, T], int16 or float in
[-1, 1], and perhaps `length` int [N]: sound n then ends after length[n] samples. The result has `views` (or `x`, from
the factories named plain) in their place and keeps all other entries. An option out of range raises ValueError by name.

Sources: Spijkervet, Burgoyne, Contrastive Learning of Musical Representations, 2021, arXiv:2103.09410,
https://arxiv.org/abs/2103.09410 (the chain of views); Gong, Lai, Chung, Glass, SSAST, 2021, arXiv:2110.09784,
https://arxiv.org/abs/2110.09784 (the spectrogram).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.dtypes import integer, unit_wave
from jaxssl.core import Augment


def plain(*, size: int) -> Augment:
    """Preprocessing for evaluation, deterministic: the middle of the sound, `x` float32 [N, size]."""
    _check_size(size)

    def preprocess(key, batch):
        del key
        x, length = _sound(batch, size)
        return _rest(batch) | {"x": jax.vmap(lambda row, n: _cut(row, jnp.maximum(n - size, 0) // 2, size))(x, length)}

    return preprocess


def views(
    *,
    size: int,
    rate: int,
    num_views: int = 2,
    polarity: float = 0.8,
    noise: float = 0.01,
    noise_snr: tuple[float, float] = (3.0, 40.0),
    gain: float = 0.3,
    gain_db: tuple[float, float] = (-20.0, -1.0),
    filters: float = 0.8,
    low_pass: tuple[float, float] = (2200.0, 4000.0),
    high_pass: tuple[float, float] = (200.0, 1200.0),
    delay: float = 0.3,
    delay_ms: tuple[float, float] = (200.0, 500.0),
    delay_volume: float = 0.5,
    pitch_shift: float = 0.6,
    semitones: tuple[float, float] = (-7.0, 7.0),
    reverb: float = 0.6,
    reverb_seconds: tuple[float, float] = (0.1, 0.8),
) -> Augment:
    """CLMR's views: `views`, arrays float32 [N, size], pieces of the sound, each altered by itself in this order.

    The first number of each step is the probability that a view undergoes it; the defaults are those of the
    release, whose noise is rare (0.01). 0 leaves a step out, and its work with it.

    Args:
      size: samples of a view; its place in the sound is uniform.
      rate: samples a second.
      num_views: V.
      polarity: turn the wave upside down.
      noise, noise_snr: white noise, this many decibels below the sound.
      gain, gain_db: change of loudness in decibels.
      filters: a low-pass or a high-pass, either by even chance, without phase, 12 dB an octave.
      low_pass, high_pass: range of their corner, in hertz; what lies above half the rate leaves the sound as it is.
      delay, delay_ms, delay_volume: add one echo, delay_ms later, times delay_volume.
      pitch_shift, semitones: change of pitch that keeps the tempo, by a phase vocoder.
      reverb, reverb_seconds: reverberation by a random room; time in which it falls by 60 decibels.
    """
    _check_size(size)
    if not isinstance(num_views, int) or num_views < 1:
        raise ValueError(f"num_views={num_views!r}: must be an integer of at least 1.")
    if not rate > 0:
        raise ValueError(f"rate={rate}: must be above 0 samples a second.")
    chances = dict(
        polarity=polarity, noise=noise, gain=gain, filters=filters, delay=delay, pitch_shift=pitch_shift, reverb=reverb
    )
    for name, value in chances.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: must be a probability in [0, 1].")
    spans = dict(noise_snr=noise_snr, gain_db=gain_db, low_pass=low_pass, high_pass=high_pass, delay_ms=delay_ms)
    for name, span in (spans | dict(semitones=semitones, reverb_seconds=reverb_seconds)).items():
        if len(span) != 2 or not span[0] <= span[1]:
            raise ValueError(f"{name}={span}: must be a range (low, high).")
    for name, span in dict(low_pass=low_pass, high_pass=high_pass, reverb_seconds=reverb_seconds).items():
        if not span[0] > 0:
            raise ValueError(f"{name}={span}: must be above 0.")

    def drawn(key, span):
        return jax.random.uniform(key, (), minval=span[0], maxval=span[1])

    def filtered(key, x):
        key_kind, key_low, key_high = jax.random.split(key, 3)
        low, high = drawn(key_low, low_pass), drawn(key_high, high_pass)
        is_low = jax.random.bernoulli(key_kind)
        return pass_filter(x, jnp.where(is_low, low, high), is_low, rate=rate)

    steps = [
        (polarity, lambda key, x: -x),
        (noise, lambda key, x: add_noise(key, x, drawn(jax.random.fold_in(key, 1), noise_snr))),
        (gain, lambda key, x: x * 10 ** (drawn(key, gain_db) / 20)),
        (filters, filtered),
        (delay, lambda key, x: echo(x, drawn(key, delay_ms) * (rate / 1000), delay_volume)),
        (pitch_shift, lambda key, x: shift_pitch(x, drawn(key, semitones), most=semitones[1])),
        (reverb, lambda key, x: reverberate(key, x, drawn(jax.random.fold_in(key, 1), reverb_seconds) * rate)),
    ]

    def view(key, x, length):
        key_cut, *keys = jax.random.split(key, 2 * len(steps) + 1)
        x = _cut(x, jax.random.randint(key_cut, (), 0, jnp.maximum(length - size, 0) + 1), size)
        for (chance, step), key_chance, key_step in zip(steps, keys[::2], keys[1::2]):
            if chance:
                x = jnp.where(jax.random.bernoulli(key_chance, chance), step(key_step, x), x)
        return x

    def augment(key, batch):
        x, length = _sound(batch, size)
        keys = jax.random.split(key, (num_views, x.shape[0]))
        # One view after the other: for both at once XLA's CPU compiler may, on several devices, lay out the input of a
        # Fourier transform so that it then refuses to compute it.
        return _rest(batch) | {"views": tuple(jax.vmap(view)(keys[v], x, length) for v in range(num_views))}

    return augment


def spectrogram(
    *,
    rate: int,
    size: int,
    frames: int,
    mels: int = 128,
    window_ms: float = 25.0,
    hop_ms: float = 10.0,
    low: float = 20.0,
    mean: float = -4.268,
    std: float = 4.569,
    floor: float = 1e-5,
    shift: int = 0,
) -> Augment:
    """One view, for methods that hide parts themselves: log-mel `views`, one array float32 [N, mels, frames, 1].

    Args:
      shift: the sound is moved by at most `shift` samples to either side, and silence fills the gap; 0 turns it off.
      rate, size, frames, mels, window_ms, hop_ms, low, mean, std, floor: as in `plain_spectrogram`.
    """
    options = dict(rate=rate, size=size, frames=frames, mels=mels, window_ms=window_ms, hop_ms=hop_ms, low=low)
    prepare = _spectrogram(**options, mean=mean, std=std, floor=floor)
    if not isinstance(shift, int) or shift < 0:
        raise ValueError(f"shift={shift!r}: must be an integer of at least 0 samples.")

    def moved(key, row):
        return jax.lax.dynamic_slice_in_dim(jnp.pad(row, shift), jax.random.randint(key, (), 0, 2 * shift + 1), size)

    def augment(key, batch):
        x, _ = _sound(batch, size)
        x = x[:, :size]
        x = jax.vmap(moved)(jax.random.split(key, len(x)), x) if shift else x
        return _rest(batch) | {"views": (prepare(x),)}

    return augment


def plain_spectrogram(
    *,
    rate: int,
    size: int,
    frames: int,
    mels: int = 128,
    window_ms: float = 25.0,
    hop_ms: float = 10.0,
    low: float = 20.0,
    mean: float = -4.268,
    std: float = 4.569,
    floor: float = 1e-5,
) -> Augment:
    """Preprocessing for evaluation: the log-mel spectrogram as an image, `x` float32 [N, mels, frames, 1].

    x = (log(max(energy, floor)) - mean) / (2 std). Defaults are those of SSAST, but for the rate.

    Args:
      rate: samples a second.
      size: samples that are looked at, from the first one on.
      frames: columns of the image.
      mels: rows, low pitch first.
      window_ms, hop_ms: length of a frame and distance between frames, in milliseconds.
      low: lowest frequency, in hertz; the highest is half the rate.
      mean, std: of the logarithm, over the data.
      floor: least energy.
    """
    options = dict(rate=rate, size=size, frames=frames, mels=mels, window_ms=window_ms, hop_ms=hop_ms, low=low)
    prepare = _spectrogram(**options, mean=mean, std=std, floor=floor)

    def preprocess(key, batch):
        del key
        return _rest(batch) | {"x": prepare(_sound(batch, size)[0][:, :size])}

    return preprocess


def add_noise(key: jax.Array, x: jax.Array, decibels: jax.Array | float) -> jax.Array:
    """x [T] and white noise whose power is lower by `decibels`."""
    x = unit_wave(x, "x")
    power = jnp.mean(jnp.square(x))
    return x + jnp.sqrt(power * 10 ** (-decibels / 10)) * jax.random.normal(key, x.shape)


def pass_filter(x: jax.Array, corner: jax.Array | float, is_low: jax.Array | bool, *, rate: int) -> jax.Array:
    """x [T] through a low-pass (is_low) or a high-pass of the second order, without phase; corner in hertz.

    The gain is 1 / sqrt(1 + (f / corner)^4), for a high-pass with corner / f. The ends are mirrored, so that the
    sound's end does not leak into its beginning.

    Args:
      x: [T].
      corner: frequency in hertz.
      is_low: low-pass, else high-pass.
      rate: samples a second.
    """
    x = unit_wave(x, "x")
    edge = min(x.shape[0] - 1, 512)
    padded = jnp.pad(x, edge, mode="reflect")
    hertz = jnp.asarray(np.fft.rfftfreq(padded.shape[0], 1 / rate), jnp.float32)
    corner = jnp.where(is_low & (corner >= rate / 2), jnp.inf, corner)
    ratio = jnp.where(is_low, hertz / corner, corner / jnp.maximum(hertz, 1e-6))
    gain = 1 / jnp.sqrt(1 + jnp.minimum(ratio, 1e6) ** 4)
    return jnp.fft.irfft(jnp.fft.rfft(padded) * gain, padded.shape[0])[edge : edge + x.shape[0]]


def echo(x: jax.Array, samples: jax.Array | int, volume: jax.Array | float) -> jax.Array:
    """x [T] and itself `samples` later, times volume."""
    x = unit_wave(x, "x")
    at = jnp.arange(x.shape[0]) - jnp.round(samples).astype(jnp.int32)
    return x + volume * jnp.where(at >= 0, x[jnp.maximum(at, 0)], 0)


def reverberate(key: jax.Array, x: jax.Array, samples: jax.Array | float) -> jax.Array:
    """x [T] in a random room: the sound itself, and decaying noise as its reflections.

    The reflections fall by 60 dB in `samples` and have half the energy of the sound; the result has the power of x.
    """
    x = unit_wave(x, "x")
    time = jnp.arange(x.shape[0])
    response = jax.random.normal(key, x.shape) * 10 ** (-3 * time / jnp.maximum(samples, 1.0))
    response = response * (0.5 * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(response)), 1e-12)))
    response = response.at[0].set(1.0)
    length = 2 * x.shape[0]
    y = jnp.fft.irfft(jnp.fft.rfft(x, length) * jnp.fft.rfft(response, length), length)[: x.shape[0]]
    return y * jnp.sqrt(jnp.mean(jnp.square(x)) / jnp.maximum(jnp.mean(jnp.square(y)), 1e-12))


def shift_pitch(x: jax.Array, semitones: jax.Array | float, *, most: float = 12.0, window: int = 512) -> jax.Array:
    """x [T] with its pitch higher by `semitones` at the same tempo: stretched by a phase vocoder, then read faster.

    Args:
      most: an upper bound of semitones, which fixes the work.
      window: samples of a frame; frames overlap by three quarters.
    """
    x = unit_wave(x, "x")
    size, hop = x.shape[0], window // 4
    factor = 2.0 ** (semitones / 12)
    count = int(np.ceil(size * 2.0 ** (max(most, 0) / 12) / hop)) + 4
    shape = jnp.asarray(np.hanning(window + 1)[:-1], jnp.float32)
    # Mirrored ends: a sudden beginning would leave the phases of neighbouring frequencies at odds for good.
    padded = jnp.pad(x, (window, 2 * window + hop), mode="reflect")
    # Frame j of the stretched sound, at j * hop, shows the place j * hop / factor of the original.
    at = jnp.clip(jnp.round(jnp.arange(count) * hop / factor), 0, size + window).astype(jnp.int32)
    frames = lambda start: jnp.fft.rfft(padded[start[:, None] + jnp.arange(window)] * shape)
    now, later = frames(at), frames(at + hop)
    unit = lambda z: z / jnp.maximum(jnp.abs(z), 1e-12)
    # What is later by one hop in the original is later by one hop in the result: each frame is turned by what is
    # missing.
    missing = unit(later[:-1] * now[:-1].conj()) * unit(now[1:] * now[:-1].conj()).conj()

    def turn(rotor, given):
        """Neighbouring frequencies turn together, the strong ones leading, or they would cancel each other."""
        missing, power = given
        pulled = jnp.pad(rotor * missing * power, 2)
        rotor = unit(sum(pulled[i : i + power.shape[0]] for i in range(5)))
        return rotor, rotor

    _, rotors = jax.lax.scan(turn, jnp.ones_like(now[0]), (missing, jnp.square(jnp.abs(now[1:]))))
    pieces = jnp.fft.irfft(now * jnp.concatenate([jnp.ones_like(now[:1]), rotors]), window) * shape
    quarters = pieces.reshape(count, 4, hop)
    stretched = sum(jnp.pad(quarters[:, i], ((i, 3 - i), (0, 0))) for i in range(4)).reshape(-1) / 1.5
    place = window + jnp.arange(size) * factor
    # The padding ahead was stretched as well.
    place = jnp.clip(place - window + window * factor, 0, stretched.shape[0] - 2)
    before = place.astype(jnp.int32)
    part = place - before
    return stretched[before] * (1 - part) + stretched[before + 1] * part


def log_mel(
    x: jax.Array,
    *,
    rate: int,
    frames: int,
    mels: int,
    window_ms: float = 25.0,
    hop_ms: float = 10.0,
    low: float = 20.0,
    floor: float = 1e-5,
) -> jax.Array:
    """Log energies in bands of the mel scale: sound [N, T] -> [N, frames, mels], the natural logarithm.

    Each frame: its mean subtracted, times a Hann window, power spectrum, triangles of equal width on the scale
    1127 ln(1 + f / 700) between `low` and half the rate. Frames beyond the end see silence.

    Args:
      x: sound [N, T].
      rate: samples a second.
      frames: number of frames.
      mels: number of bands.
      window_ms, hop_ms: length of a frame and distance between frames, in milliseconds.
      low: lowest frequency, in hertz.
      floor: least energy.
    """
    x = unit_wave(x, "x")
    window, hop = round(rate * window_ms / 1000), round(rate * hop_ms / 1000)
    bins = 2 ** int(np.ceil(np.log2(window)))
    needed = (frames - 1) * hop + window
    x = jnp.pad(x, ((0, 0), (0, max(needed - x.shape[1], 0))))
    framed = x[:, np.arange(frames)[:, None] * hop + np.arange(window)]
    framed = (framed - jnp.mean(framed, axis=-1, keepdims=True)) * jnp.asarray(np.hanning(window), jnp.float32)
    # Products, not jnp.fft: at this length they are as fast, and XLA's transform on a CPU takes threads from the pool
    # that devices waiting for each other may all hold.
    parts = jnp.square(jnp.matmul(framed, jnp.asarray(fourier(window, bins)), precision="highest"))
    power = parts[..., : bins // 2 + 1] + parts[..., bins // 2 + 1 :]
    energy = power @ jnp.asarray(mel_filters(mels, bins, rate, low))
    return jnp.log(jnp.maximum(energy, floor))


def fourier(window: int, bins: int) -> np.ndarray:
    """float32 [window, bins + 2]: cosines, then sines, of the frequencies 0 ... bins / 2 of a transform of `bins`."""
    angles = 2 * np.pi * (np.outer(np.arange(window), np.arange(bins // 2 + 1)) % bins) / bins
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def mel_filters(mels: int, bins: int, rate: int, low: float) -> np.ndarray:
    """float32 [bins / 2 + 1, mels]: triangles over the frequencies of a Fourier transform of `bins` samples."""
    scale = lambda hertz: 1127 * np.log1p(np.asarray(hertz) / 700)
    edges = np.linspace(scale(low), scale(rate / 2), mels + 2)
    at = scale(np.fft.rfftfreq(bins, 1 / rate))[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)


def _spectrogram(*, rate, size, frames, mels, window_ms, hop_ms, low, mean, std, floor):
    _check_size(size)
    for name, value in (("frames", frames), ("mels", mels)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: must be an integer of at least 1.")
    for name, value in (("rate", rate), ("window_ms", window_ms), ("hop_ms", hop_ms), ("std", std), ("floor", floor)):
        if not value > 0:
            raise ValueError(f"{name}={value}: must be above 0.")
    if not 0 <= low < rate / 2:
        raise ValueError(f"low={low}: must lie in [0, {rate / 2}).")
    options = dict(rate=rate, frames=frames, mels=mels, window_ms=window_ms, hop_ms=hop_ms, low=low, floor=floor)

    def prepare(x):
        return ((log_mel(x, **options) - mean) / (2 * std)).swapaxes(1, 2)[..., None]

    return prepare


def _check_size(size):
    if not isinstance(size, int) or size < 2:
        raise ValueError(f"size={size!r}: must be an integer of at least 2 samples.")


def _sound(batch, size):
    """(float32 [N, T] in -1 ... 1, with T >= size by silence at the end; length int [N])."""
    if "audio" not in batch:
        raise ValueError(f"audio augmentations need the array `audio`, got {sorted(batch)}")
    x = unit_wave(batch["audio"])
    length = integer(batch.get("length", jnp.full(x.shape[0], x.shape[1], jnp.int32)), "length")
    return jnp.pad(x, ((0, 0), (0, max(size - x.shape[1], 0)))), length


def _cut(row, start, size):
    return jax.lax.dynamic_slice_in_dim(row, start, size)


def _rest(batch):
    return {name: value for name, value in batch.items() if name not in ("audio", "length")}
