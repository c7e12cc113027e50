"""CLMR: two altered pieces of a recording attract, all other pieces of the batch repel."""

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import nt_xent
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("CLMR", "arXiv:2103.09410", 2021, "audio", "contrast", beats=("untrained",))


def clmr(encoder: Module, *, hidden_dims: tuple[int, ...] = (512,), dim: int = 64, temperature: float = 0.5) -> Method:
    """CLMR.

        z = W_2 relu(W_1 f(x)),   L = nt_xent(z1, z2)

    The views go through the networks one after the other, so that each has batch statistics of its own (in SimCLR both
    have them together). Nothing is stop-gradient.

    Args:
      encoder: network f over the waveform, [N, T] -> [N, D].
      hidden_dims: widths of the projector's hidden layers, ReLU between, no norm, no biases; published: (D,).
      dim: width of the embedding z.
      temperature: tau of NT-Xent, > 0.

    Batch: `views`, two pieces [N, T] of the same recording. Memory: `stats`.

    Source: Spijkervet, Burgoyne, Contrastive Learning of Musical Representations, 2021, arXiv:2103.09410,
    https://arxiv.org/abs/2103.09410
    """
    head = projector(hidden_dims, dim, norm=False, bias=False, dtype=encoder.dtype)
    chain = {"encoder": encoder, "projector": head}
    return siamese(chain, lambda out: nt_xent(*out["projector"], temperature=temperature), negatives=True)
