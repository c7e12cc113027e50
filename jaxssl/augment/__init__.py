"""Augmentations `augment(key, batch) -> batch`: pure, jittable, one random key per example, by modality."""
