"""Some of the classes, or classes put together."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxssl.data.source import Source, Splits
from jaxssl.data.views import Evaluate, by_index, joined, labels, narrowed, picked, pool, refuse, splits_of


def classes(
    *,
    of: Splits,
    keep: Sequence[int | str] = (),
    groups: Sequence[Sequence[int | str]] = (),
    evaluate: Evaluate = "all",
) -> Splits:
    """Trains on the examples of the classes `keep`; with `groups`, the label becomes the number of the group.

    Args:
      of: the data, with labels.
      keep: classes by number (before `groups`) or name; () keeps all, or those of `groups`.
      groups: classes that become one, for coarse labels or tasks; a class in no group has no label (-1).
      evaluate: 'all': evaluators see all examples of `of`; 'chosen': those of the classes kept, of both splits.

    Raises:
      ValueError: a class that the data lacks, or that stands in two groups; neither keep nor groups.
    """
    splits = splits_of(of, "classes")
    source = splits.train
    if not keep and not groups:
        raise ValueError("data.subset.classes: neither keep nor groups; the classes to keep would be right.")
    grouped = [[_number(source, c, "groups") for c in group] for group in groups]
    members = [c for group in grouped for c in group]
    twice = {c for c in members if members.count(c) > 1}
    if twice:
        raise refuse("classes", "groups", tuple(groups), f"class {min(twice)} stands in two groups")
    kept = [_number(source, c, "keep") for c in keep] or members
    ids = pool(source, "classes")
    order = ids[np.isin(labels(source, "classes")[ids], kept)]
    if not order.size:
        raise refuse("classes", "keep", tuple(keep), "no training example is of these classes")
    made = picked(splits, order, evaluate)
    if evaluate == "chosen" and made.test is not None:
        made = made._replace(test=narrowed(made.test, np.flatnonzero(np.isin(labels(made.test, "classes"), kept))))
    return Splits(*(s and _regrouped(s, grouped) for s in made)) if groups else made


def _number(source: Source, given: int | str, option: str) -> int:
    names = list(source.class_names or ())
    if given in names:
        return names.index(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < source.num_classes:
        known = ", ".join(map(str, names)) or f"0 ... {source.num_classes - 1}"
        raise refuse("classes", option, given, f"no such class; the data has {known}")
    return given


def _regrouped(source: Source, groups: list[list[int]]) -> Source:
    table = np.full(source.num_classes + 1, -1)  # the last entry serves -1
    for number, group in enumerate(groups):
        table[group] = number
    label = table[labels(source, "classes")]
    names = source.class_names and tuple("+".join(source.class_names[c] for c in group) for group in groups)
    made = joined(source, {"label": by_index(source, label, -1)})
    return dataclasses.replace(made, num_classes=len(groups), class_names=names)
