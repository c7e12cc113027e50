"""MAE: most patches are hidden, only the visible ones are encoded, and the hidden raw values are predicted."""

import jax

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import masked_token_mse
from jaxssl.models.decoder import masked_decoder
from jaxssl.models.inits import TransformerInit
from jaxssl.models.module import Module
from jaxssl.models.tokens import Hide, needs
from jaxssl.ops import hidden_count, random_masked
from jaxssl.skeletons.masked import Predicted, masked

CARD = Card("MAE", "arXiv:2111.06377", 2021, "image", "reconstruction", beats=("untrained",))


def mae(
    encoder: Module,
    *,
    masking_ratio: float = 0.75,
    decoder_dim: int = 512,
    decoder_depth: int = 8,
    decoder_heads: int = 16,
    normalize_targets: bool = True,
    decoder_init: TransformerInit = "truncated",
) -> Method:
    """MAE, a masked autoencoder.

        L = mean over hidden patches of |decoder(encoder(visible patches)) - patch|^2

    with each target patch standardised by its own mean and standard deviation. The patches are stop-gradient. The loss of
    an example depends on no other example, so that `gradient_chunks` applies; a batch in chunks draws other masks from
    the same distribution.

    Args:
      encoder: a transformer over patches of raw values, as models.vit.vit, models.audio.vit, models.video.vit or
        models.series.vit; it encodes the visible patches only.
      masking_ratio: share of hidden patches; exactly floor((1 - ratio) * L) of the L patches of every example stay
        visible, at least one and not all.
      decoder_dim, decoder_depth, decoder_heads: of the decoder, which is not used afterwards.
      normalize_targets: standardise each target patch.
      decoder_init: the initial values of the decoder, see `models.inits.transformer_inits`.

    Batch: `views`, a tuple of one input of the encoder, such as images [N, H, W, C]. Memory: empty.

    Source: He, Chen, Xie, Li, Dollar, Girshick, Masked Autoencoders Are Scalable Vision Learners, 2021,
    arXiv:2111.06377, https://arxiv.org/abs/2111.06377
    """
    needs(encoder, "methods.mae", "visible_ids", "targets", example="models.vit.vit")
    size = dict(width=decoder_dim, depth=decoder_depth, num_heads=decoder_heads)
    same = dict(dtype=encoder.dtype, remat=encoder.remat, init_as=decoder_init)

    def error(pred, target, hidden):
        return masked_token_mse(pred[None], target[None], hidden[None], normalize_targets=normalize_targets)

    def forward_pass(nets, x, key):
        key_mask, key_encoder = jax.random.split(key)
        targets, grid = encoder.patches_of(x), encoder.grid_of(x)
        n, length, values = targets.shape
        num_hidden = hidden_count(masking_ratio, length, option="method.masking_ratio")
        hidden = random_masked(key_mask, n, length, num_hidden=num_hidden)
        tokens = nets("encoder", encoder, x, key=key_encoder, hide=Hide(hidden.visible_ids), method="encode")
        decoder = masked_decoder(out_dim=values, positions=f"{len(grid)}d", grid=grid, **size, **same)
        pred = nets("decoder", decoder, tokens.patches, hidden.restore_ids, tokens.cls)
        # Every example has as many hidden patches, so that the mean over examples is the mean over patches.
        return Predicted(jax.vmap(error)(pred, targets, hidden.masked), tokens.patches.mean(1))

    return masked(encoder, forward_pass, ("encoder", "decoder"), of_examples=True)
