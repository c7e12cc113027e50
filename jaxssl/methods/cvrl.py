"""CVRL: two clips of a video attract, clips of all other videos of the batch repel."""

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import nt_xent
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("CVRL", "arXiv:2008.03800", 2020, "video", "contrast", beats=("floor", "untrained"))


def cvrl(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048, 2048, 2048),
    dim: int = 128,
    temperature: float = 0.1,
    norm: bool = True,
) -> Method:
    """CVRL.

        z = g(f(x)),   L = L_12 + L_21 = 2 nt_xent(z1, z2),
        L_12 = mean_i -log(exp(s(z1_i, z2_i) / tau) / sum over the 2N - 1 other clips k of exp(s(z1_i, z_k) / tau))

    with s the cosine: the sum of both directions, twice what SimCLR minimises. Both clips go through the networks as one
    batch of 2N, so that batch statistics are those of both. Nothing is stop-gradient.

    Args:
      encoder: backbone f, [N, T, H, W, C] -> [N, D].
      hidden_dims: widths of the projector's hidden layers, each with batch norm and ReLU.
      dim: width of the embedding z.
      temperature: tau, > 0.
      norm: the batch norms of the projector.

    Batch: `views`, two clips [N, T, H, W, C]; `augment.video.cvrl` draws them, and one change for all frames of a clip.
    Memory: `stats`.

    Source: Qian, Meng, Gong, Yang, Wang, Belongie, Cui, Spatiotemporal Contrastive Video Representation Learning, 2020,
    arXiv:2008.03800, https://arxiv.org/abs/2008.03800
    """
    chain = {"encoder": encoder, "projector": projector(hidden_dims, dim, norm=norm, dtype=encoder.dtype)}
    return siamese(
        chain, lambda out: 2 * nt_xent(*out["projector"], temperature=temperature), together=True, negatives=True
    )
