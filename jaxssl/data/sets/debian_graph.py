"""The bundled graph of Debian packages."""

import numpy as np

from jaxssl.data.reading import FILES_FOLDER

DEBIAN_FILE = FILES_FOLDER / "debian_graph.npz"


def read_debian_graph() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """(features [N, F] of unit rows, edges [E, 2], label [N], class names, names [N]) of the bundled graph."""
    with np.load(DEBIAN_FILE) as file:
        data = {name: file[name] for name in file.files}
    features = data["features"].astype(np.float32)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    label, class_names = data["label"].astype(np.int32), tuple(data["class_names"].tolist())
    return features, data["edges"].astype(np.int64), label, class_names, data["names"]
