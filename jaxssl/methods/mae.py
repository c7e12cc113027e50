"""MAE: most patches are hidden, only the visible ones are encoded, and the hidden pixels are predicted."""

import jax

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import masked_patch_mse
from jaxssl.models.decoder import mae_decoder
from jaxssl.ops import hidden_count, random_masked
from jaxssl.skeletons.masked import Predicted, masked

CARD = Card("MAE", "arXiv:2111.06377", 2021, "image", "reconstruction")


def mae(
    encoder,
    *,
    masking_ratio: float = 0.75,
    decoder_dim: int = 512,
    decoder_depth: int = 8,
    decoder_heads: int = 16,
    normalize_targets: bool = True,
) -> Method:
    """Masked autoencoder.

        L = mean over hidden patches of |decoder(encoder(visible patches)) - patch|^2

    with each target patch standardised by its own mean and deviation. The loss of an image depends on no other image, so
    that `gradient_chunks` applies; the masks of a batch in chunks are other draws of the same distribution.

    Args:
      encoder: a ViT of models.vit; it encodes the visible patches only.
      masking_ratio: share of hidden patches; of L patches exactly floor((1 - ratio) * L) of every image
        stay visible, at least one and not all.
      decoder_dim, decoder_depth, decoder_heads: of the decoder, which is not used afterwards.
      normalize_targets: standardise each target patch.

    Batch: `views`, one array [N, H, W, C]. Memory: empty.

    Source: He, Chen, Xie, Li, Dollar, Girshick, Masked Autoencoders Are Scalable Vision Learners, 2021,
    arXiv:2111.06377, https://arxiv.org/abs/2111.06377
    """
    if not hasattr(encoder, "tokens"):
        raise TypeError("methods.mae needs a ViT, which can encode some of the patches: encoder.name='models.vit.vit'.")
    patch_size = encoder.patch_size
    size = dict(width=decoder_dim, depth=decoder_depth, num_heads=decoder_heads)
    same = dict(dtype=encoder.dtype, remat=encoder.remat)

    def error(pred, image, masked):
        options = dict(patch_size=patch_size, normalize_targets=normalize_targets)
        return masked_patch_mse(pred[None], image[None], masked[None], **options)

    def forward_pass(nets, images, key):
        key_mask, key_encoder = jax.random.split(key)
        grid = (images.shape[1] // patch_size, images.shape[2] // patch_size)
        num_hidden = hidden_count(masking_ratio, grid[0] * grid[1], option="method.masking_ratio")
        hidden = random_masked(key_mask, images.shape[0], grid[0] * grid[1], num_hidden=num_hidden)
        ids = hidden.visible_ids
        tokens = nets("encoder", encoder, images, key=key_encoder, visible_ids=ids, method="tokens")
        decoder = mae_decoder(patch_size=patch_size, channels=images.shape[-1], grid=grid, **size, **same)
        pred = nets("decoder", decoder, tokens["patches"], hidden.restore_ids, tokens.get("cls"))
        # Every image has as many hidden patches, so that the mean over images is the mean over patches.
        return Predicted(jax.vmap(error)(pred, images, hidden.masked), tokens["patches"].mean(1))

    return masked(encoder, forward_pass, ("encoder", "decoder"), of_examples=True)
