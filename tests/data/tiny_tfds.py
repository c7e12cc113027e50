"""A tiny data set for TensorFlow Datasets, which looks up the module of a builder by its name."""

import numpy as np
import tensorflow_datasets

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 10, 8, 3), np.uint8)


class JaxsslTiny(tensorflow_datasets.core.GeneratorBasedBuilder):
    """Twelve noise images, three classes."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")

    def _info(self):
        features = tensorflow_datasets.features
        return tensorflow_datasets.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {"image": features.Image(shape=(10, 8, 3)), "label": features.ClassLabel(names=["a", "b", "c"])}
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(8)), "test": self._generate_examples(range(8, 12))}

    def _generate_examples(self, rows):
        for row in rows:
            yield row, {"image": IMAGES[row], "label": row % 3}
