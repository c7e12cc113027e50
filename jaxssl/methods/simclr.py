"""SimCLR: two views of an image attract, all other images of the batch repel."""

from functools import partial

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import nt_xent, nt_xent_chunked
from jaxssl.models.heads import projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("SimCLR", "arXiv:2002.05709", 2020, "image", "contrast", beats=("untrained",))


def simclr(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    temperature: float = 0.1,
    norm: bool = True,
    block_size: int = 0,
    head_init: HeadInit = "lecun",
) -> Method:
    """SimCLR.

        z = g(f(x)),   L = nt_xent(z1, z2)

    Both views go through the networks as one batch of 2N, so that batch statistics are those of both.
    Nothing is stop-gradient.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims: widths of the projector's hidden layers, each with batch norm and ReLU.
      dim: width of the embedding z.
      temperature: tau of NT-Xent, > 0.
      norm: the batch norms of the projector, after each hidden layer and at its end.
      block_size: b > 0 takes nt_xent_chunked, which never holds more than b x b logits, for batches of many thousands;
        the value and the gradient are the same.
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`.

    Source: Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, 2020, arXiv:2002.05709, https://arxiv.org/abs/2002.05709
    """
    last_norm = "batch" if norm else None
    head = projector(hidden_dims, dim, norm=norm, last_norm=last_norm, dtype=encoder.dtype, init_as=head_init)
    contrast = partial(nt_xent_chunked, block_size=block_size) if block_size else nt_xent
    chain = {"encoder": encoder, "projector": head}
    return siamese(
        chain, lambda out: contrast(*out["projector"], temperature=temperature), together=True, negatives=True
    )
