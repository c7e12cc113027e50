"""Images as sequences of square patches, and back."""

import math

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.ops.checks import positive_int
from jaxssl.ops.meshes import any_mesh


@any_mesh
def patchify(images: jax.Array, patch_size: int) -> jax.Array:
    """Cuts images [N, H, W, C] into patches [N, L, P*P*C] with L = (H / P) * (W / P).

    Patches run row by row over the image; inside a patch the order is row, column, channel. Any dtype.
    Raises: ValueError for a wrong rank, or when `patch_size` does not divide H and W.
    """
    positive_int("patch_size", patch_size)
    images = jnp.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"images must be [N, H, W, C], got shape {images.shape}")
    _, height, width, _ = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"patch_size={patch_size}: must divide the height and width of images {images.shape}.")
    return rearrange(images, "n (row p) (column q) c -> n (row column) (p q c)", p=patch_size, q=patch_size)


@any_mesh
def unpatchify(patches: jax.Array, patch_size: int, image_size: tuple[int, int] | None = None) -> jax.Array:
    """The inverse of `patchify`: patches [N, L, P*P*C] to images [N, H, W, C].

    `image_size`: (H, W); left out, the image is taken to be square.
    Raises: ValueError for a wrong rank, or when L or the last axis do not fit `patch_size` and `image_size`.
    """
    positive_int("patch_size", patch_size)
    patches = jnp.asarray(patches)
    if patches.ndim != 3:
        raise ValueError(f"patches must be [N, L, P*P*C], got shape {patches.shape}")
    _, length, size = patches.shape
    if image_size is None:
        side = math.isqrt(length) * patch_size
        image_size = (side, side)
    height, width = image_size
    rows, columns = height // patch_size, width // patch_size
    if height % patch_size or width % patch_size or rows * columns != length:
        raise ValueError(
            f"image_size={image_size}: {length} patches of size {patch_size} do not fill it; give image_size=(H, W)."
        )
    if size == 0 or size % patch_size**2:
        raise ValueError(f"patch_size**2 = {patch_size**2} must divide the last axis of {patches.shape}")
    sizes = dict(row=rows, p=patch_size, q=patch_size)
    return rearrange(patches, "n (row column) (p q c) -> n (row p) (column q) c", **sizes)
