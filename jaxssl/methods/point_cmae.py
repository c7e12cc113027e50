"""Point-CMAE: a cloud is masked and completed twice, and what both masks hide must look alike to both decoders."""

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import chamfer, comasked_consistency
from jaxssl.models.module import Module
from jaxssl.models.points import decoder
from jaxssl.models.positions import take_tokens
from jaxssl.models.tokens import Hide, needs
from jaxssl.ops import hidden_count, random_masked
from jaxssl.skeletons.masked import Predicted, masked

CARD = Card("Point-CMAE", "arXiv:2407.05862", 2024, "points", "reconstruction", beats=("untrained",))

BRANCHES = ("decoder1", "decoder2")


def point_cmae(
    encoder: Module,
    *,
    masking_ratio: float = 0.6,
    decoder_depth: int = 4,
    decoder_heads: int = 6,
    decoder_drop_path: float = 0.1,
    reconstruction_weight: float = 1000.0,
    consistency_weight: float = 1.0,
    pairing: str = "diagonal",
    kind: str = "l2",
) -> Method:
    """Point-CMAE.

        (points_b, d_b) = g_b(f(visible patches_b), centres)   for two independent masks b = 1, 2
        L = w_r sum_b chamfer(points_b, hidden patches_b) + w_c mean over patches hidden by both of (1 - cos(d_1, d_2))

    f is one encoder with a class token for each mask; the decoders g_1 and g_2 have equal sizes and weights of their
    own. d are their tokens after the final norm. Every mask hides floor(ratio * G) patches, drawn uniformly. The hidden
    patches are stop-gradient; d is not. Features are those of the whole cloud, without a mask.

    Args:
      encoder: a transformer of models.points with cls_tokens=2 (or 0).
      masking_ratio: share of hidden patches.
      decoder_depth, decoder_heads, decoder_drop_path: of the decoders, which are not used afterwards.
      reconstruction_weight: w_r.
      consistency_weight: w_c; 0 leaves two masked autoencoders that share an encoder.
      pairing: 'diagonal', each token with its twin, or 'row', with all tokens of the other mask, as the published code
        computes (see losses.comasked_consistency).
      kind: of the Chamfer distance, 'l2' or 'l1'.

    The published code also projects the class tokens and does not use the result; there is no such head here. The published
    encoder has 12 blocks and G = 64 patches of 32 points.

    Batch: `views`, one array [N, P, 3]. Memory: `stats`.

    Source: Ren, Mei, Paudel, Wang, Li, Liu, Cucchiara, Van Gool, Sebe, Bringing Masked Autoencoders Explicit
    Contrastive Properties for Point Cloud Self-Supervised Learning, 2024, arXiv:2407.05862,
    https://arxiv.org/abs/2407.05862
    """
    needs(encoder, "methods.point_cmae", "several", "num_groups", example="models.points.transformer")
    num_hidden = hidden_count(masking_ratio, encoder.num_groups, option="method.masking_ratio", floor="hidden")
    network = decoder(
        group_size=encoder.group_size,
        depth=decoder_depth,
        num_heads=decoder_heads,
        drop_path=decoder_drop_path,
        dtype=encoder.dtype,
        remat=encoder.remat,
    )

    def draw(key, n):
        """Two masks: orders [N, 2, G] of the patches, visible ones first, and masked [N, 2, G]."""
        masks = [random_masked(k, n, encoder.num_groups, num_hidden=num_hidden) for k in jax.random.split(key)]
        order = jnp.stack([jnp.argsort(m.restore_ids, axis=1) for m in masks], axis=1)
        return order, jnp.stack([m.masked for m in masks], axis=1), masks[0].visible_ids.shape[1]

    def forward_pass(nets, x, key):
        key_mask, key_encoder, *keys = jax.random.split(key, 2 + len(BRANCHES))
        order, hidden, visible = draw(key_mask, x.shape[0])
        found = nets("encoder", encoder, x, key=key_encoder, hide=Hide(order[:, :, :visible]), method="encode")
        groups, tokens, errors = rearrange(found.extras["groups"], "n g k c -> n g (k c)"), [], []
        for b, name in enumerate(BRANCHES):
            centers = take_tokens(found.extras["centers"], order[:, b])
            z = found.patches[:, b]
            points, d = nets(name, network, z, centers[:, :visible], centers[:, visible:], key=keys[b])
            target = take_tokens(groups, order[:, b, visible:]).reshape(points.shape)
            errors.append(chamfer(points, target, kind=kind))
            tokens.append(take_tokens(d, jnp.argsort(order[:, b], axis=1)))
        agreement = comasked_consistency(*tokens, hidden[:, 0], hidden[:, 1], pairing=pairing)
        value = reconstruction_weight * sum(errors) + consistency_weight * agreement
        metrics = {"chamfer": sum(errors) / len(errors), "consistency": agreement}
        return Predicted(value, rearrange(found.patches.mean(2), "n b d -> b n d"), metrics)

    return masked(encoder, forward_pass, ("encoder", "mask", *BRANCHES))
