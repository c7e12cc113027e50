"""Plain multi-layer perceptron as an encoder of vectors."""

from collections.abc import Sequence

from jaxssl.models.heads import MLP, projector
from jaxssl.models.module import Dtype


def mlp(*, hidden_dims: Sequence[int] = (500, 500, 2000), out_dim: int = 10, dtype: Dtype = "float32") -> MLP:
    """z = W_k relu(W_{k-1} ... relu(W_1 x)), with biases, without norms; the default widths are those of DEC and SCGC.

    Args:
      hidden_dims: widths of the hidden layers; () for a linear map.
      out_dim: width of the features.
      dtype: compute dtype; parameters and features are float32.

    Returns:
      Flax module (x [N, F], train) -> z [N, out_dim] float32.

    Raises:
      ValueError: on a width below 1.
    """
    if min(*hidden_dims, out_dim, 1) < 1:
        raise ValueError(f"hidden_dims={tuple(hidden_dims)}, out_dim={out_dim}: each must be at least 1 for mlp.")
    return projector(hidden_dims, out_dim, norm=False, dtype=dtype)
