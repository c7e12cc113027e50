"""CVRL: two clips of a video attract, clips of all other videos of the batch repel."""

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import nt_xent
from jaxssl.models.chain import by_view, embed_together, make_predict, setup_chain
from jaxssl.models.heads import projector


def cvrl(
    encoder,
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

    Batch: `views` [2, N, T, H, W, C]; `augment.video.cvrl` chooses the clips and changes them alike in all frames. Memory:
    `stats`.

    Source: Qian, Meng, Gong, Yang, Wang, Belongie, Cui, Spatiotemporal Contrastive Video Representation Learning, 2020,
    arXiv:2008.03800, https://arxiv.org/abs/2008.03800
    """
    chain = {"encoder": encoder, "projector": projector(hidden_dims, dim, norm=norm, dtype=encoder.dtype)}

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    def objective(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
        z = out["projector"]
        value = 2 * nt_xent(z[0], z[1], temperature=temperature)
        return value, (memory, {"features": out["encoder"], "projections": z})

    return split_method(init, Split(embed_together(chain), objective), make_predict(chain), negatives=True)
