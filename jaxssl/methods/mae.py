"""MAE: most patches are hidden, only the visible ones are encoded, and the hidden pixels are predicted."""

import jax

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import masked_patch_mse
from jaxssl.models.decoder import mae_decoder
from jaxssl.models.module import forward, setup
from jaxssl.ops import hidden_count, random_masked


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

    Batch: `views` [1, N, H, W, C]. Memory: empty but for `stats`.

    Source: He, Chen, Xie, Li, Dollar, Girshick, Masked Autoencoders Are Scalable Vision Learners, 2021,
    arXiv:2111.06377, https://arxiv.org/abs/2111.06377
    """
    if not hasattr(encoder, "tokens"):
        raise TypeError("methods.mae needs a ViT, which can encode some of the patches: encoder.name='models.vit.vit'.")
    patch_size = encoder.patch_size

    def decoder_for(images):
        grid = (images.shape[1] // patch_size, images.shape[2] // patch_size)
        return mae_decoder(
            patch_size=patch_size,
            channels=images.shape[-1],
            width=decoder_dim,
            depth=decoder_depth,
            num_heads=decoder_heads,
            grid=grid,
            dtype=encoder.dtype,
            remat=encoder.remat,
        )

    def mask(key, images):
        num_patches = (images.shape[1] // patch_size) * (images.shape[2] // patch_size)
        num_hidden = hidden_count(masking_ratio, num_patches, option="method.masking_ratio")
        return random_masked(key, images.shape[0], num_patches, num_hidden=num_hidden)

    def init(key, batch):
        images, (key_encoder, key_decoder, key_mask) = batch["views"][0], jax.random.split(key, 3)
        hidden = mask(key_mask, images)
        params = {}
        params["encoder"], _ = setup(encoder, key_encoder, images)
        tokens, _ = forward(encoder, params["encoder"], {}, images, visible_ids=hidden.visible_ids, method="tokens")
        params["decoder"], _ = setup(
            decoder_for(images), key_decoder, tokens["patches"], hidden.restore_ids, tokens.get("cls")
        )
        return params, {"stats": {"encoder": {}}}

    def embed(params, memory, batch, key, step):
        images, (key_mask, key_encoder) = batch["views"][0], jax.random.split(key)
        hidden = mask(key_mask, images)
        tokens, _ = forward(
            encoder,
            params["encoder"],
            {},
            images,
            train=True,
            key=key_encoder,
            visible_ids=hidden.visible_ids,
            method="tokens",
        )
        pred, _ = forward(
            decoder_for(images),
            params["decoder"],
            {},
            tokens["patches"],
            hidden.restore_ids,
            tokens.get("cls"),
            train=True,
        )
        return {"features": tokens["patches"].mean(1), "losses": jax.vmap(error)(pred, images, hidden.masked)}, memory

    def error(pred, image, masked):
        options = dict(patch_size=patch_size, normalize_targets=normalize_targets)
        return masked_patch_mse(pred[None], image[None], masked[None], **options)

    def objective(params, memory, embeddings, batch, key, step):
        # Every image has as many hidden patches, so that the mean over images is the mean over patches.
        return embeddings["losses"].mean(), (memory, {"features": embeddings["features"][None]})

    def predict(params, memory, batch):
        h, _ = forward(encoder, params["encoder"], {}, batch["x"])
        return {"features": h}

    return split_method(init, Split(embed, objective), predict)
