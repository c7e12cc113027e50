"""SimCLR: two views of an image attract, all other images of the batch repel."""

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import nt_xent, nt_xent_chunked
from jaxssl.models.chain import by_view, embed_together, make_predict, setup_chain
from jaxssl.models.heads import projector


def simclr(
    encoder,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    temperature: float = 0.1,
    norm: bool = True,
    block_size: int = 0,
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

    Batch: `views` [2, N, ...]. Memory: `stats`.

    Source: Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual
    Representations, 2020, arXiv:2002.05709, https://arxiv.org/abs/2002.05709
    """
    last_norm = "batch" if norm else None
    head = projector(hidden_dims, dim, norm=norm, last_norm=last_norm, dtype=encoder.dtype)
    chain = {"encoder": encoder, "projector": head}

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    def objective(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
        z = out["projector"]
        if block_size:
            value = nt_xent_chunked(z[0], z[1], temperature=temperature, block_size=block_size)
        else:
            value = nt_xent(z[0], z[1], temperature=temperature)
        return value, (memory, {"features": out["encoder"], "projections": z})

    return split_method(init, Split(embed_together(chain), objective), make_predict(chain), negatives=True)
