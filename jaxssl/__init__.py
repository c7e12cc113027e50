"""Self-supervised learning in JAX: pure losses, one training loop, honest evaluation."""

__version__ = "0.2.0"
