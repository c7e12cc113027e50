"""Data sources and the stream of batches; the only package that may import TensorFlow (inside functions)."""
