import numpy as np
import pytest
import scipy.fft

from jaxssl.augment.audio import log_mel
from jaxssl.evaluators.floors.audio import cosine_transform, mfcc

identity = lambda key, batch: batch


def test_the_transform_is_scipy_s():
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    expected = scipy.fft.dct(x, type=2, norm="ortho", axis=1)[:, :13]
    np.testing.assert_allclose(x @ cosine_transform(40, 13), expected, atol=1e-5)


def test_mean_and_deviation_over_time_of_waveforms_and_spectrograms():
    x = np.random.default_rng(1).normal(size=(3, 2000)).astype(np.float32)
    found = np.asarray(mfcc(None, identity, coefficients=13, rate=8000)(None, None, {"x": x})["features"])
    energies = np.asarray(log_mel(x, rate=8000, frames=23, mels=40))
    cepstrum = scipy.fft.dct(energies.astype(np.float64), type=2, norm="ortho", axis=2)[..., :13]
    expected = np.concatenate([cepstrum.mean(1), cepstrum.std(1)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    image = energies.swapaxes(1, 2)[..., None]
    same = mfcc(None, identity, coefficients=13)(None, None, {"x": image})["features"]
    np.testing.assert_allclose(same, expected, atol=1e-3)


def test_short_sound_and_bad_options():
    found = mfcc(None, identity)(None, None, {"x": np.zeros((2, 50), np.float32)})["features"]
    assert found.shape == (2, 40) and np.isfinite(found).all()
    with pytest.raises(ValueError, match="coefficients"):
        mfcc(None, identity, coefficients=0)
