"""Names of earlier versions, which stand in run folders and configs, and the names of today.

`build.resolve` reads NAMES, `build.checked` reads OPTIONS. A config that is loaded is brought to the names of today as a
whole, so that it equals one that is written today.
"""

from collections.abc import Callable, Mapping
from typing import Any

READERS = (
    "arrays",
    "graph",
    "image_folder",
    "influence",
    "packed",
    "points",
    "series",
    "table",
    "text",
    "tfds",
)

FLOORS = (
    "audio.mfcc",
    "graph.propagated",
    "graph.spectral",
    "pairs.ridge_to_words",
    "points.shape_distribution",
    "points.sorted_coordinates",
    "series.rocket",
    "table.isolation_forest",
    "table.mahalanobis",
    "text.tfidf",
    "video.gradients_and_flow",
)

# Old name -> new name. Of 'module.factory' with one name for both, the short form stands here.
NAMES: dict[str, str] = {
    **{f"data.{name}": f"data.readers.{name}" for name in READERS},
    **{f"evaluators.floors_{name}": f"evaluators.floors.{name}" for name in FLOORS},
    "data.audio.audio_folder": "data.readers.audio_folder",
    "data.captions.pairs": "data.readers.pairs",
    "data.video.video_folder": "data.readers.video_folder",
    "data.audio.tones": "data.sets.tones",
    "data.audio.words": "data.sets.words",
    "data.captions.fashion_captions": "data.sets.fashion_captions",
    "data.digits": "data.sets.digits",
    "data.fashion_mnist": "data.sets.fashion_mnist",
    "data.fashion_mnist.fashion_mnist_12k": "data.sets.fashion_mnist_12k",
    "data.influence.digits_influence": "data.sets.digits_influence",
    "data.points.fashion_clouds": "data.sets.fashion_clouds",
    "data.points.solids": "data.sets.solids",
    "data.series.basic_motions": "data.sets.basic_motions",
    "data.series.ecg_rhythms": "data.sets.ecg_rhythms",
    "data.table.breast_cancer": "data.sets.breast_cancer",
    "data.table.breast_cancer_anomaly": "data.sets.breast_cancer_anomaly",
    "data.table.digits_columns": "data.sets.digits_columns",
    "data.table.flows": "data.sets.flows",
    "data.table.sensors": "data.sets.sensors",
    "data.table.wine": "data.sets.wine",
    "data.text.debian_descriptions": "data.sets.debian_descriptions",
    "data.text.wordnet_glosses": "data.sets.wordnet_glosses",
    "data.video.moving_items": "data.sets.moving_items",
}

SHARE = ("test_share", "test_fraction", None)
# New name of the factory -> (old option, new option, function from the old value to the new one; None: it stays).
OPTIONS: dict[str, tuple[str, str, Callable[[Any], Any] | None]] = {
    "data.readers.graph": SHARE,
    "data.readers.influence": SHARE,
    "data.readers.table": SHARE,
    "data.sets.breast_cancer": SHARE,
    "data.sets.breast_cancer_anomaly": ("train_share", "test_fraction", lambda share: 1 - share),
    "data.sets.digits_columns": SHARE,
    "data.sets.digits_influence": SHARE,
    "data.sets.wine": SHARE,
}


def current_name(name: str) -> str:
    """The name that a factory has now; a name that is in no table comes back as it is.

    Args:
      name: with or without a leading 'jaxssl.', and with the factory named twice, as in 'data.graph.graph', or once.
    """
    plain = name.removeprefix("jaxssl.")
    short, _, last = plain.rpartition(".")
    short = short if short.endswith(f".{last}") else plain
    found = NAMES.get(short, short)
    return found if short in NAMES or found in OPTIONS else name


def current_option(name: str, option: str, value: Any = None) -> tuple[str, Any]:
    """(name, value) that an option of a factory has now."""
    old, new, convert = OPTIONS.get(current_name(name), ("", "", None))
    if option != old:
        return option, value
    return new, value if convert is None or isinstance(value, bool | str) or value is None else convert(value)


def current_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A section with the names of today, and all sections in it.

    Raises:
      ValueError: an option stands there under both its names.
    """
    name, found = spec.get("name"), {}
    for option, value in spec.items():
        if isinstance(name, str) and option != "name":
            new, value = current_option(name, option, value)
            if new != option and new in spec:
                raise ValueError(f"{option}={value!r}: the earlier name of {new}, which is set too; leave it out.")
            option = new
        found[option] = current_spec(value) if isinstance(value, Mapping) else value
    if isinstance(name, str):
        found["name"] = current_name(name)
    return found
