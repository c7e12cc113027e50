import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import patchify, unpatchify


def test_order_is_row_column_channel():
    images = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    patches = patchify(images, 2)
    assert patches.shape == (2, 6, 12)
    for n in range(2):
        for row in range(2):
            for column in range(3):
                cut = images[n, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                np.testing.assert_array_equal(patches[n, 3 * row + column], cut.reshape(-1))


def test_unpatchify_is_the_inverse_and_keeps_the_dtype():
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 9, 1), np.uint8)
    restored = unpatchify(patchify(images, 3), 3, (6, 9))
    assert restored.dtype == jnp.uint8
    np.testing.assert_array_equal(restored, images)
    np.testing.assert_array_equal(unpatchify(patchify(images[:, :, :6], 2), 2), images[:, :, :6])


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="patch_size"):
        patchify(np.zeros((1, 4, 6, 3)), 4)
    with pytest.raises(ValueError, match="N, H, W, C"):
        patchify(np.zeros((4, 4, 3)), 2)
    with pytest.raises(ValueError, match="image_size"):
        unpatchify(np.zeros((1, 6, 12)), 2)
    with pytest.raises(ValueError, match="last axis"):
        unpatchify(np.zeros((1, 4, 6)), 2)
    with pytest.raises(ValueError, match="patch_size"):
        patchify(np.zeros((1, 4, 4, 3)), 0)
