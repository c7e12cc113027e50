"""The one place where TensorFlow is imported: late, without accelerators, a clear error if it is missing."""

import os
from types import ModuleType


def load_tensorflow(purpose: str) -> ModuleType:
    """The tensorflow module, told to leave GPUs and TPUs to JAX.

    Args:
      purpose: what needs it, for the message, e.g. 'data.pipeline.stream'.

    Raises:
      ImportError: saying how to install it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs TensorFlow, which is not installed ({error}): pip install jaxssl[train]"
        ) from error
    for kind in ("GPU", "TPU"):
        try:
            tensorflow.config.set_visible_devices([], kind)
        except RuntimeError:
            pass  # the program has used TensorFlow already, and what it sees can no longer be changed
    return tensorflow
