"""Columns of a table: their kinds, statistics and codes, and the sources made of them."""

import dataclasses
import logging
from typing import NamedTuple

import numpy as np

from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out

log = logging.getLogger("jaxssl")

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
# A column of text with more than this share of different values is a name or a number of the row, not a category.
IDENTIFIER_SHARE = 0.5


class Raw(NamedTuple):
    """A table as read: a column is float64 [N] with NaN where missing, or object [N] of str with None."""

    columns: dict[str, np.ndarray]
    where: str

    @property
    def size(self) -> int:
        return len(next(iter(self.columns.values())))


class Encoding(NamedTuple):
    """What the training rows say of every column."""

    numbers: dict[str, tuple[float, float]]  # (mean, deviation)
    categories: dict[str, dict[str, int]]  # code by text


def prepare(raw, categorical, drop, *, label, normal, test_fraction, seed, class_names=None):
    """(columns by name, label [N], training rows, test rows, class names) of a table."""
    for option, names in (("label", (label,) if label else ()), ("categorical", categorical), ("drop", drop)):
        for name in names:
            if name not in raw.columns:
                raise ValueError(f"{raw.where}: no column {name!r} ({option}); there are {sorted(raw.columns)}")
    y, class_names = _labels(raw, label, normal, class_names)
    columns = {}
    for name, column in raw.columns.items():
        if name != label and name not in drop:
            columns[name] = _as_text(column) if name in categorical else _typed(column, name, raw.where)
    if not columns:
        raise ValueError(f"{raw.where}: no column is left but the label")
    train_rows, test_rows = split_rows(y, test_fraction, seed, normal is not None, raw.where)
    return columns, y, train_rows, test_rows, class_names


def _labels(raw, label, normal, class_names):
    if label is None:
        return np.full(raw.size, -1), None
    texts = _as_text(raw.columns[label])
    found = sorted({t for t in texts if t is not None}, key=_number_first)
    if len(found) > max(2, IDENTIFIER_SHARE * raw.size):
        raise ValueError(
            f"{raw.where}: label column '{label}' holds {len(found)} different values in {raw.size} rows; a label is a class"
        )
    if normal is not None:
        if str(normal) not in found and class_names is None:
            raise ValueError(f"{raw.where}: no row has {label}={normal!r} (normal); there are {found[:20]}")
        found = [str(normal)] + [t for t in found if t != str(normal)]
    if class_names is None:
        class_names = tuple(found)
    for row, text in enumerate(texts):
        if text is not None and text not in class_names:
            raise ValueError(f"{raw.where}: row {row + 1}, column '{label}': class {text!r} is not in {class_names}")
    codes = {text: i for i, text in enumerate(class_names)}
    return np.array([-1 if t is None else codes[t] for t in texts]), class_names


def _number_first(text):
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _as_text(column):
    """A column as text; whole numbers without a point, so that 3 and 3.0 are one category."""
    if column.dtype == object:
        return column
    return np.array([None if np.isnan(v) else str(int(v)) if float(v) % 1 == 0 else str(v) for v in column], object)


def _typed(column, name, where, numeric=None):
    """The column as numbers if all (or, with `numeric`, by order) are; else as it is. Infinite numbers are refused."""
    if column.dtype == object:
        present = [(row, text) for row, text in enumerate(column) if text is not None]
        numbers, strange = np.full(len(column), np.nan), []
        for row, text in present:
            try:
                numbers[row] = float(text)
            except ValueError:
                strange.append((row, text))
        if strange and not numeric and len(strange) >= len(present) / 2:
            return column
        if strange:
            row, text = strange[0]
            raise ValueError(
                f"{where}: row {row + 1}, column {name!r}: {text!r} is no number, as most of the column are; correct "
                "it, leave it empty, or name the column in data.categorical"
            )
    else:
        numbers = column
    infinite = np.flatnonzero(np.isinf(numbers))
    if infinite.size:
        raise ValueError(
            f"{where}: row {infinite[0] + 1}, column {name!r}: infinite; leave it empty where it is unknown"
        )
    return numbers


def split_rows(y, test_fraction, seed, normal_only, where):
    """(training rows, test rows): in each class alike; with `normal_only`, class 0 alone is trained on."""
    check_test_fraction(test_fraction)
    held_out = hold_out(y, test_fraction, np.random.default_rng(seed)) | (normal_only & (y != 0))
    if held_out.all():
        raise ValueError(f"{where}: no row is left to train on; lower data.test_fraction")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def fit_encoding(columns, rows, max_categories, where) -> Encoding:
    numbers, categories, flat = {}, {}, []
    for name, column in columns.items():
        if column.dtype == object:
            present = [text for text in column[rows] if text is not None]
            kinds, counts = np.unique(np.array(present, str), return_counts=True)
            if len(kinds) > max(max_categories, IDENTIFIER_SHARE * len(rows)):
                raise ValueError(
                    f"{where}: column {name!r} holds {len(kinds)} different texts in {len(rows)} rows; what names "
                    "a row is no category: leave it out by data.drop"
                )
            order = np.argsort(-counts, kind="stable")[: max_categories - 1]
            categories[name] = {str(kinds[k]): code for code, k in enumerate(order, start=1)}
        else:
            values = column[rows][~np.isnan(column[rows])]
            mean = float(values.mean()) if values.size else 0.0
            deviation = float(values.std()) if values.size else 0.0
            # Below this all values are equal, and only rounding is left.
            if deviation <= 1e-9 * max(abs(mean), 1e-30):
                flat.append(name)
                deviation = np.inf
            numbers[name] = mean, deviation
    if flat:
        log.info("%s: columns with one value only become 0: %s", where, ", ".join(flat))
    return Encoding(numbers, categories)


def encode(columns, encoding) -> dict[str, np.ndarray]:
    size = len(next(iter(columns.values())))
    numbers, categories = np.zeros((size, len(encoding.numbers))), np.zeros((size, len(encoding.categories)))
    for i, (name, (mean, deviation)) in enumerate(encoding.numbers.items()):
        numbers[:, i] = np.where(np.isnan(columns[name]), 0, (columns[name] - mean) / deviation)
    for i, (name, codes) in enumerate(encoding.categories.items()):
        categories[:, i] = [codes.get(text, 0) for text in columns[name]]
    return {"numbers": numbers.astype(np.float32), "categories": categories.astype(np.int32)}


def as_in(raw, reference, label) -> Raw:
    """The columns of a new table that the reference has, of the kinds that they have there."""
    columns = {}
    for name, column in reference.items():
        if name not in raw.columns:
            raise ValueError(
                f"{raw.where}: no column {name!r}, which the training table has; there are {sorted(raw.columns)}"
            )
        if column.dtype == object:
            columns[name] = _as_text(raw.columns[name])
        else:
            columns[name] = _typed(raw.columns[name], name, raw.where, numeric=True)
    if label is not None:
        columns[label] = raw.columns.get(label, np.full(raw.size, None, object))
    return Raw(columns, raw.where)


def column_splits(arrays, train_rows, test_rows, class_names, limit, where) -> Splits:
    if limit is not None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        train_rows, test_rows = train_rows[:limit], _spread(test_rows, max(limit // 5, 1))
    return Splits(
        _source(arrays, train_rows, class_names, where),
        _source(arrays, test_rows, class_names, where) if len(test_rows) else None,
    )


def _spread(rows, count):
    """So many rows, evenly from all, so that every class stays."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(int)]


def _source(arrays, rows, class_names, where) -> Source:
    source = from_arrays({k: v[rows] for k, v in arrays.items()}, class_names=class_names, where=where)
    return dataclasses.replace(source, names=lambda ids: [str(rows[i] + 1) for i in np.asarray(ids)])


def splits_from_numbers(x, y, class_names, train_rows, test_rows, limit, where) -> Splits:
    columns = {str(i): column for i, column in enumerate(np.asarray(x, np.float64).T)}
    encoding = fit_encoding(columns, train_rows, 2, where)
    return column_splits({**encode(columns, encoding), "label": y}, train_rows, test_rows, class_names, limit, where)


def splits_from_sklearn(data, test_fraction, limit, seed, where) -> Splits:
    rows = split_rows(data.target, test_fraction, seed, False, where)
    return splits_from_numbers(data.data, data.target, [str(n) for n in data.target_names], *rows, limit, where)
