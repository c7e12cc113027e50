"""Names of earlier versions that stand in run folders and configs, and what they are called now."""

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

# Old name -> new name.
NAMES: dict[str, str] = {f"evaluators.floors_{name}": f"evaluators.floors.{name}" for name in FLOORS}


def current_name(name: str) -> str:
    """The name that a factory has now; a name that is in no table comes back as it is."""
    return NAMES.get(name.removeprefix("jaxssl."), name)
