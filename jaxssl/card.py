"""Cards: the facts about a system, at the top of a method, study or evaluator, or of a config or stage that is one."""

from typing import NamedTuple

MODALITIES = ("image", "audio", "video", "text", "table", "series", "points", "graph", "image_text", "any")
FAMILIES = (
    "contrast",  # agree with the other view, differ from other examples
    "redundancy",  # agree with the other view, with dimensions that vary and say different things
    "self-distillation",  # agree with a network that gets no gradient; no negatives
    "clustering",  # agree with what an example is assigned to
    "reconstruction",  # restore the input where it is hidden or spoilt
    "latent prediction",  # predict features of what is hidden
    "pretext",  # solve a task whose answer the data give: an order, an angle, a speed
    "distillation",  # agree with networks that never change
    "supervised",  # learn from labels
    "weak labels",  # learn from few, noisy or programmed labels
    "selection",  # choose examples
    "generation",  # model the distribution of the data
    "measure",  # say how good features are
)
KINDS = ("pre-training", "adaptation", "evaluation", "study")
CLAIMS = ("floor", "untrained")  # what a row may claim to beat


class Card(NamedTuple):
    """The facts about a published system that lists, tables and tests read.

    Attributes:
      name: as its paper writes it.
      paper: 'arXiv:2002.05709', or 'doi:...' where there is no preprint; '' where there is no paper.
      year: of the paper's first version.
      modality: one of MODALITIES.
      family: one of FAMILIES.
      kind: one of KINDS.
      beats: of CLAIMS: what its configs' rows claim to lead by their headline; a config with `BEATS = (...)` says its own.
        A test compares every claim with what was measured (`jaxssl.claims`).
    """

    name: str
    paper: str
    year: int
    modality: str
    family: str
    kind: str = "pre-training"
    beats: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """The address of the paper, or ''."""
        kind, _, number = self.paper.partition(":")
        return {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}.get(kind, "") + number


def wrong_card(card: Card) -> str:
    """The fault of a card, in the shape of other messages, or ''."""
    for field, known in (("modality", MODALITIES), ("family", FAMILIES), ("kind", KINDS)):
        if getattr(card, field) not in known:
            return f"{field}={getattr(card, field)!r}: must be one of {', '.join(known)}."
    if not set(card.beats) <= set(CLAIMS):
        return f"beats={card.beats!r}: must be some of {', '.join(CLAIMS)}."
    if card.paper and not card.link.startswith("https:"):
        return f"paper={card.paper!r}: must begin with 'arXiv:' or 'doi:', or be ''."
    return ""
