"""Columns of a table: their kinds, statistics and codes, and the sources made of them.

A column of numbers is float64 [N] with NaN where a value is missing; a column of text is a pyarrow array with nulls.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out

log = logging.getLogger("jaxssl")

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
# A text column in which more than this share of the values differ identifies the rows; it is no category.
IDENTIFIER_SHARE = 0.5


class Raw(NamedTuple):
    """A table as read."""

    columns: dict[str, Any]
    where: str

    @property
    def size(self) -> int:
        return len(next(iter(self.columns.values())))


class Encoding(NamedTuple):
    """Statistics of the columns in the training rows."""

    numbers: dict[str, tuple[float, float]]  # (mean, deviation)
    categories: dict[str, dict[str, int]]  # code by text


def prepare(
    raw: Raw,
    categorical: Sequence[str],
    drop: Sequence[str],
    *,
    label: str | None,
    normal: str | None,
    test_fraction: float,
    seed: int,
    class_names: Sequence[str] | None = None,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, Sequence[str] | None]:
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
    found = sorted(texts.unique().drop_null().to_pylist(), key=_number_first)
    if len(found) > max(2, IDENTIFIER_SHARE * raw.size):
        raise ValueError(
            f"{raw.where}: label column '{label}' holds {len(found)} different values in {raw.size} rows; "
            "a label is a class"
        )
    if normal is not None:
        if str(normal) not in found and class_names is None:
            raise ValueError(f"{raw.where}: no row has {label}={normal!r} (normal); there are {found[:20]}")
        found = [str(normal)] + [t for t in found if t != str(normal)]
    if class_names is None:
        class_names = tuple(found)
    y = _codes(texts, class_names)
    unknown = np.flatnonzero((y < 0) & texts.is_valid().to_numpy(zero_copy_only=False))
    if unknown.size:
        row, text = unknown[0], texts[int(unknown[0])].as_py()
        raise ValueError(f"{raw.where}: row {row + 1}, column '{label}': class {text!r} is not in {class_names}")
    return y, class_names


def is_text(column: Any) -> bool:
    """Whether a column holds texts: numbers [N] are NumPy arrays, texts are pyarrow columns."""
    return not isinstance(column, np.ndarray)


def _codes(column, texts) -> np.ndarray:
    """int [N]: the place of each text of a column among the texts, -1 for others and where it is missing."""
    import pyarrow
    import pyarrow.compute as compute

    found = compute.index_in(column, value_set=pyarrow.array(list(texts), column.type))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def as_cells(column: Any) -> Any:
    """A pyarrow array of text with blanks around the cells taken off, and null where a value is missing."""
    import pyarrow
    import pyarrow.compute as compute

    column = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    text = compute.utf8_trim_whitespace(column.cast(pyarrow.large_string()))
    missing = compute.is_in(compute.utf8_lower(text), value_set=pyarrow.array(sorted(MISSING), text.type))
    return compute.if_else(missing, None, text)


def numbers_of(text: Any) -> tuple[np.ndarray, np.ndarray]:
    """(float64 [N] with NaN where there is none, rows whose text is no number) of a pyarrow array of text."""
    import pyarrow

    try:
        numbers = text.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
        if np.isnan(numbers).sum() == text.null_count:
            return numbers, np.zeros(0, int)
    except pyarrow.ArrowInvalid:
        pass
    # Texts that pyarrow takes for no number, such as 1_000 or +1, each different one once.
    coded = text.dictionary_encode()
    found = [_number(text) for text in coded.dictionary.to_pylist()]
    values = np.array([np.nan if number is None else number for number in found] + [np.nan])
    strange = np.array([number is None for number in found] + [False])
    codes = coded.indices.fill_null(len(found)).to_numpy()
    return values[codes], np.flatnonzero(strange[codes])


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None


def _number_first(text):
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _as_text(column):
    """A column as text; whole numbers without a point, so that 3 and 3.0 are one category."""
    import pyarrow

    if is_text(column):
        return column
    texts = [None if np.isnan(v) else str(int(v)) if float(v) % 1 == 0 else str(v) for v in column]
    return pyarrow.array(texts, pyarrow.large_string())


def _typed(column, name, where, numeric=None):
    """The column as numbers if all (or, with `numeric`, by order) are; else as it is. Infinite numbers are refused."""
    if is_text(column):
        numbers, strange = numbers_of(column)
        present = len(column) - column.null_count
        if len(strange) and not numeric and len(strange) >= present / 2:
            return column
        if len(strange):
            row, text = strange[0], column[int(strange[0])].as_py()
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


def split_rows(
    y: np.ndarray, test_fraction: float, seed: int, normal_only: bool, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows): in each class alike; with `normal_only`, class 0 alone is trained on."""
    check_test_fraction(test_fraction)
    held_out = hold_out(y, test_fraction, np.random.default_rng(seed)) | (normal_only & (y != 0))
    if held_out.all():
        raise ValueError(f"{where}: no row is left to train on; lower data.test_fraction")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def fit_encoding(columns: Mapping[str, Any], rows: np.ndarray, max_categories: int, where: str) -> Encoding:
    """The encoding of the columns [N] by name, from the training rows alone."""
    numbers, categories, flat = {}, {}, []
    for name, column in columns.items():
        if is_text(column):
            counted = {c["values"]: c["counts"] for c in column.take(rows).drop_null().value_counts().to_pylist()}
            kinds = sorted(counted)
            counts = np.array([counted[kind] for kind in kinds], int)
            if len(kinds) > max(max_categories, IDENTIFIER_SHARE * len(rows)):
                raise ValueError(
                    f"{where}: column {name!r} holds {len(kinds)} different texts in {len(rows)} rows; what names "
                    "a row is no category: leave it out by data.drop"
                )
            order = np.argsort(-counts, kind="stable")[: max_categories - 1]
            categories[name] = {kinds[k]: code for code, k in enumerate(order, start=1)}
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


def encode(columns: Mapping[str, Any], encoding: Encoding) -> dict[str, np.ndarray]:
    """`numbers` float32 [N, Dn], standardised, 0 where missing; `categories` int32 [N, Dc], 0 for other texts and none."""
    size = len(next(iter(columns.values())))
    numbers, categories = np.zeros((size, len(encoding.numbers))), np.zeros((size, len(encoding.categories)))
    for i, (name, (mean, deviation)) in enumerate(encoding.numbers.items()):
        numbers[:, i] = np.where(np.isnan(columns[name]), 0, (columns[name] - mean) / deviation)
    for i, (name, codes) in enumerate(encoding.categories.items()):
        categories[:, i] = 1 + _codes(columns[name], codes)
    return {"numbers": numbers.astype(np.float32), "categories": categories.astype(np.int32)}


def as_in(raw: Raw, reference: Mapping[str, Any], label: str | None) -> Raw:
    """The columns of a new table that the reference has, of the kinds that they have there."""
    import pyarrow

    columns = {}
    for name, column in reference.items():
        if name not in raw.columns:
            raise ValueError(
                f"{raw.where}: no column {name!r}, which the training table has; there are {sorted(raw.columns)}"
            )
        if is_text(column):
            columns[name] = _as_text(raw.columns[name])
        else:
            columns[name] = _typed(raw.columns[name], name, raw.where, numeric=True)
    if label is not None:
        columns[label] = raw.columns.get(label, as_cells(pyarrow.array([None] * raw.size, pyarrow.large_string())))
    return Raw(columns, raw.where)


def column_splits(
    arrays: Mapping[str, np.ndarray],
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    class_names: Sequence[str] | None,
    limit: int | None,
    where: str,
) -> Splits:
    """Training and test rows of arrays [N, ...] as sources; of the training rows the first `limit`."""
    if limit is not None:
        if limit < 1:
            raise ValueError(f"data.limit={limit}: must be at least 1.")
        train_rows, test_rows = train_rows[:limit], _spread(test_rows, max(limit // 5, 1))
    return Splits(
        _source(arrays, train_rows, class_names, where),
        _source(arrays, test_rows, class_names, where) if len(test_rows) else None,
    )


def _spread(rows, count):
    """`count` rows, evenly from all, so that every class stays."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(int)]


def _source(arrays, rows, class_names, where) -> Source:
    source = from_arrays({k: v[rows] for k, v in arrays.items()}, class_names=class_names, where=where)
    return dataclasses.replace(source, names=lambda ids: [str(rows[i] + 1) for i in np.asarray(ids)])


def splits_from_numbers(
    x: np.ndarray,
    y: np.ndarray,
    class_names: Sequence[str],
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    limit: int | None,
    where: str,
) -> Splits:
    """`column_splits` of numbers x [N, D] and classes y [N]."""
    columns = {str(i): column for i, column in enumerate(np.asarray(x, np.float64).T)}
    encoding = fit_encoding(columns, train_rows, 2, where)
    return column_splits({**encode(columns, encoding), "label": y}, train_rows, test_rows, class_names, limit, where)


def splits_from_sklearn(data: Any, test_fraction: float, limit: int | None, seed: int, where: str) -> Splits:
    """`splits_from_numbers` of a data set of scikit-learn, a part of every class held out."""
    rows = split_rows(data.target, test_fraction, seed, False, where)
    return splits_from_numbers(data.data, data.target, [str(n) for n in data.target_names], *rows, limit, where)
