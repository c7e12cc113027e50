"""Floor for sound: cepstral coefficients and their spread, as `evaluators.floors` describes floors."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.audio import log_mel
from jaxssl.evaluators.features import EvaluationData


def mfcc(
    data: EvaluationData,
    preprocess: Callable,
    *,
    coefficients: int = 20,
    rate: int = 8000,
    mels: int = 40,
    window_ms: float = 25.0,
    hop_ms: float = 10.0,
) -> Callable:
    """Mean and deviation over time of the mel cepstral coefficients: [N, 2 * coefficients].

    The orthonormal cosine transform (type II) of the log-mel energies of every frame, its first `coefficients`; nothing
    is fitted. A waveform `x` [N, T] is turned into log-mel energies first (see augment.audio.log_mel: `rate`, `mels`,
    `window_ms`, `hop_ms`); a spectrogram `x` [N, mels, frames, 1] is taken as it is.

    Source: Davis, Mermelstein, Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences, 1980, doi:10.1109/TASSP.1980.1163420
    """
    del data
    if not isinstance(coefficients, int) or coefficients < 1:
        raise ValueError(f"coefficients={coefficients!r}: must be an integer of at least 1.")

    @jax.jit
    def predict(params, memory, batch):
        del params, memory
        x = preprocess(None, batch)["x"].astype(jnp.float32)
        if x.ndim == 2:
            hop, window = round(rate * hop_ms / 1000), round(rate * window_ms / 1000)
            frames = max((x.shape[1] - window) // hop + 1, 1)
            x = log_mel(x, rate=rate, frames=frames, mels=mels, window_ms=window_ms, hop_ms=hop_ms)
        else:
            x = x[..., 0].swapaxes(1, 2)
        cepstrum = x @ jnp.asarray(cosine_transform(x.shape[2], min(coefficients, x.shape[2])))
        return {"features": jnp.concatenate([cepstrum.mean(1), cepstrum.std(1)], axis=1)}

    return predict


def cosine_transform(size: int, count: int) -> np.ndarray:
    """float32 [size, count]: the first columns of the orthonormal cosine transform of type II."""
    matrix = np.cos(np.pi / size * (np.arange(size)[:, None] + 0.5) * np.arange(count)) * np.sqrt(2 / size)
    matrix[:, 0] /= np.sqrt(2)
    return matrix.astype(np.float32)
