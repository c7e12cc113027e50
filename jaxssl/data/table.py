"""Tables: rows with columns of numbers and of categories, from one's own file or from scikit-learn.

Every source of this file has `numbers` float32 [N, Dn], `categories` int32 [N, Dc] and `label`; Dn or Dc may be 0.
Numbers are standardised with mean and deviation of the training rows; a missing one becomes the mean, that is 0, and
a column with one value only becomes 0 throughout. Categories are 1, 2, ... by their order in the training rows, the
most frequent first; 0 is a missing one, and one that the training rows do not have.
"""

import csv
import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxssl.data.reading import MAX_FILE_MB, check_size, foreign, read_text, regular_file
from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.names import shown

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


def table(
    *,
    path: str,
    label: str | None = None,
    normal: str | None = None,
    test_share: float = 0.25,
    like: str | None = None,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    max_categories: int = 32,
    delimiter: str = ",",
    limit: int | None = None,
    seed: int = 0,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """A table of one's own: a .csv file whose first line names the columns, or a .parquet file.

    A column is one of numbers if all its values are numbers; else one of categories. Empty cells, NA, NaN, null, None
    and ? are missing values.

    Args:
      path: the file.
      label: the column with the class, for the evaluation only; None: there is none.
      normal: anomaly detection: the value of `label` that normal rows have. Training sees only such rows, the test
        set are the held-out ones and all other rows; class 0 is the normal one.
      test_share: share of the rows (with `normal`: of the normal rows) held out, drawn by `seed`, in each class
        alike; 0: no test set.
      like: another file whose training rows say how the columns of this one are standardised and coded: the file
        that an encoder was trained on, when it meets new rows. The label may then be missing.
      categorical: columns that are categories although they hold numbers.
      drop: columns left out.
      max_categories: codes of a column, that of the missing included; only the most frequent categories have one.
        Not above the encoder's option of that name.
      delimiter: between the cells of a .csv file.
      limit: so many training rows at most, and a fifth as many test rows.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    A source names its examples by their rows in the file; the first is 1.
    Raises: FileNotFoundError; ValueError naming the file, the row (the first below the header is 1) and the column.
    """
    if not 0 <= test_share < 1:
        raise ValueError(f"test_share must lie in [0, 1), got {test_share}")
    if max_categories < 2:
        raise ValueError(f"max_categories must be at least 2, got {max_categories}")
    if normal is not None and label is None:
        raise ValueError("normal=... names a value of the column `label`; set label too")
    categorical, drop = _names(categorical), _names(drop)
    raw = _read(path, delimiter, max_file_mb)
    rules = dict(label=label, normal=normal, test_share=test_share, seed=seed)
    if like and Path(like) != Path(path):
        reference = _read(like, delimiter, max_file_mb)
        columns, _, train_rows, _, class_names = _parts(reference, categorical, drop, **rules)
        encoding = _fit(columns, train_rows, max_categories, reference.where)
        if label not in raw.columns:
            rules["normal"] = None  # nothing says which rows are; all of them count as training rows
        raw = _as_in(raw, columns, label)
        texts = [name for name, column in columns.items() if column.dtype == object]
        columns, y, train_rows, test_rows, class_names = _parts(raw, texts, (), **rules, class_names=class_names)
    else:
        columns, y, train_rows, test_rows, class_names = _parts(raw, categorical, drop, **rules)
        encoding = _fit(columns, train_rows, max_categories, raw.where)
    arrays = {**_encode(columns, encoding), "label": y}
    return _splits(arrays, train_rows, test_rows, class_names, limit, where=raw.where)


def _names(value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _read(path, delimiter, max_file_mb) -> Raw:
    """The columns of a file. Columns of a .csv file are text still."""
    file, name = Path(path), shown(path)
    if not path or not file.exists():
        raise FileNotFoundError(f"table '{name}' does not exist; option `path` (--data) names a .csv or .parquet file")
    regular_file(file, max_file_mb)
    if file.suffix.lower() in (".parquet", ".pq"):
        columns = _read_parquet(file, name, max_file_mb)
    elif file.suffix.lower() in (".csv", ".tsv", ".txt"):
        columns = _read_csv(read_text(file, max_file_mb), name, delimiter)
    else:
        raise ValueError(f"{name}: a table's name must end in .csv or .parquet")
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError(f"{name}: the table holds no rows; a first line with names and one line a row would be right")
    return Raw(columns, name)


def _read_csv(text, file, delimiter):
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(file, header, delimiter)
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{file}: row {len(rows) + 1} (line {reader.line_num}) has {len(cells)} cells, but the first "
                    f"line names {len(header)} columns"
                )
            rows.append(cells)
    except csv.Error as error:
        raise ValueError(f"{file}: line {reader.line_num} cannot be read: {error}") from error
    return {name: np.array([_text(row[i]) for row in rows], object) for i, name in enumerate(header)}


def _text(cell):
    cell = cell.strip()
    return None if cell.lower() in MISSING else cell


def _check_header(file, header, delimiter):
    if not any(header):
        raise ValueError(f"{file}: the first line is empty; it must name the columns")
    if len(header) == 1 and delimiter == ",":
        for other in (";", "\t"):
            if other in header[0]:
                raise ValueError(f"{file}: the cells are set apart by {other!r}: set data.delimiter={other!r}")
    for i, name in enumerate(header):
        if not name:
            raise ValueError(f"{file}: column {i + 1} has no name in the first line")
        if name in header[:i]:
            raise ValueError(f"{file}: two columns are called {name!r}")


def _read_parquet(path, file, max_file_mb):
    import pyarrow
    import pyarrow.parquet

    with foreign(path, "a .parquet file"), pyarrow.parquet.ParquetFile(path) as opened:
        about = opened.metadata
        check_size(8 * about.num_rows * max(about.num_columns, 1), max_file_mb, "what it unpacks to")
        sizes = (about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        check_size(sum(sizes), max_file_mb, "what it unpacks to")
        read = pyarrow.parquet.read_table(path)
        read.validate(full=True)
    _check_header(file, read.column_names, None)
    columns = {}
    for name in read.column_names:
        column, kind = read[name], read[name].type
        with foreign(path, f"a .parquet file: column {name!r}"):
            if pyarrow.types.is_dictionary(kind):
                column, kind = column.cast(kind.value_type), kind.value_type
            is_any = lambda *names: any(getattr(pyarrow.types, f"is_{name}")(kind) for name in names)
            if is_any("integer", "floating", "decimal"):
                columns[name] = column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
            elif is_any("string", "large_string", "boolean"):
                texts = [None if value is None else _text(str(value)) for value in column.to_pylist()]
                columns[name] = np.array(texts, object)
        if name not in columns:
            raise ValueError(
                f"{file}: column {name!r} holds {kind}; numbers and text would be right, or leave it out by data.drop"
            )
    return columns


def _parts(raw, categorical, drop, *, label, normal, test_share, seed, class_names=None):
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
    train_rows, test_rows = _split_rows(y, test_share, seed, normal is not None, raw.where)
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


def _split_rows(y, test_share, seed, normal_only, where):
    """(training rows, test rows): in each class alike; with `normal_only`, class 0 alone is trained on."""
    rng, train, test = np.random.default_rng(seed), [], []
    for value in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == value))
        held_out = round(test_share * len(rows))
        if normal_only and value != 0:
            held_out = len(rows)
        test.append(rows[:held_out])
        train.append(rows[held_out:])
    train, test = np.sort(np.concatenate(train)), np.sort(np.concatenate(test))
    if len(train) < 1:
        raise ValueError(f"{where}: no row is left to train on; lower data.test_share")
    return train, test


def _fit(columns, rows, max_categories, where) -> Encoding:
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


def _encode(columns, encoding) -> dict[str, np.ndarray]:
    size = len(next(iter(columns.values())))
    numbers, categories = np.zeros((size, len(encoding.numbers))), np.zeros((size, len(encoding.categories)))
    for i, (name, (mean, deviation)) in enumerate(encoding.numbers.items()):
        numbers[:, i] = np.where(np.isnan(columns[name]), 0, (columns[name] - mean) / deviation)
    for i, (name, codes) in enumerate(encoding.categories.items()):
        categories[:, i] = [codes.get(text, 0) for text in columns[name]]
    return {"numbers": numbers.astype(np.float32), "categories": categories.astype(np.int32)}


def _as_in(raw, reference, label) -> Raw:
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


def _splits(arrays, train_rows, test_rows, class_names, limit, where) -> Splits:
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


def _from_numbers(x, y, class_names, train_rows, test_rows, limit, where) -> Splits:
    columns = {str(i): column for i, column in enumerate(np.asarray(x, np.float64).T)}
    encoding = _fit(columns, train_rows, 2, where)
    return _splits({**_encode(columns, encoding), "label": y}, train_rows, test_rows, class_names, limit, where)


def _from_sklearn(data, test_share, limit, seed, where) -> Splits:
    rows = _split_rows(data.target, test_share, seed, False, where)
    return _from_numbers(data.data, data.target, [str(n) for n in data.target_names], *rows, limit, where)


def breast_cancer(*, test_share: float = 0.3, limit: int | None = None, seed: int = 0) -> Splits:
    """569 tumours, 30 columns measured on images of cells, two classes (malignant, benign); from scikit-learn.

    test_share of each class is held out, drawn by `seed`.
    Source: Wolberg, Mangasarian, Street, Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning
    Repository, 1993, https://doi.org/10.24432/C5DW2B
    """
    from sklearn.datasets import load_breast_cancer

    return _from_sklearn(load_breast_cancer(), test_share, limit, seed, "breast_cancer")


def wine(*, test_share: float = 0.3, limit: int | None = None, seed: int = 0) -> Splits:
    """178 wines, 13 columns of chemistry, three cultivars; from scikit-learn. Options as in `breast_cancer`.

    Source: Aeberhard, Forina, Wine, UCI Machine Learning Repository, 1992, https://doi.org/10.24432/C5PC7J
    """
    from sklearn.datasets import load_wine

    return _from_sklearn(load_wine(), test_share, limit, seed, "wine")


def digits_columns(*, test_share: float = 0.2, limit: int | None = None, seed: int = 0) -> Splits:
    """1,797 handwritten digits as tables know them: 64 columns of ink, of which nobody says how they are neighbours.

    From scikit-learn; three columns are 0 in all rows. Options as in `breast_cancer`.
    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits

    return _from_sklearn(load_digits(), test_share, limit, seed, "digits_columns")


def breast_cancer_anomaly(*, train_share: float = 0.6, limit: int | None = None, seed: int = 0) -> Splits:
    """`breast_cancer` for the detection of anomalies: training sees `train_share` of the benign rows only.

    The test set are the other benign rows (class 0) and all malignant ones (class 1).
    """
    from sklearn.datasets import load_breast_cancer

    if not 0 < train_share < 1:
        raise ValueError(f"train_share must lie in (0, 1), got {train_share}")
    data = load_breast_cancer()
    y = 1 - data.target
    rows = _split_rows(y, 1 - train_share, seed, True, "breast_cancer_anomaly")
    return _from_numbers(data.data, y, ("benign", "malignant"), *rows, limit, "breast_cancer_anomaly")


def flows(
    *,
    train_size: int = 4000,
    test_size: int = 1000,
    columns: int = 20,
    factors: int = 5,
    noise: float = 0.2,
    shift: float = 3.0,
    limit: int | None = None,
    seed: int = 0,
) -> Splits:
    """Generated rows like counters of network flows: columns that go together, and attacks that break this.

    A benign row is x_j = sqrt(1 - noise^2) w_j . f + noise e_j with f ~ N(0, I) [factors], |w_j| = 1, so that every
    column has deviation 1. Training sees benign rows only. The test set holds `test_size` rows of each class:
      0 benign;
      1 resampled: 2 to 5 columns have values of other benign rows, so that every column alone looks as always;
      2 shifted: moved by `shift` deviations along the first principal axis, so that all goes together as always.
    """
    if not 5 <= columns:
        raise ValueError(f"columns must be at least 5, got {columns}")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise must lie in [0, 1], got {noise}")
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(factors, columns))
    weights /= np.linalg.norm(weights, axis=0)

    def benign(size):
        mixed = rng.normal(size=(size, factors)) @ weights
        return np.sqrt(1 - noise**2) * mixed + noise * rng.normal(size=(size, columns))

    train, normal, resampled, shifted = benign(train_size), *(benign(test_size) for _ in range(3))
    others, counts = benign(test_size), rng.integers(2, 6, test_size)
    for row, count in enumerate(counts):
        chosen = rng.permutation(columns)[:count]
        # Each value from a row of its own.
        resampled[row, chosen] = others[rng.integers(0, test_size, count), chosen]
    covariance = (1 - noise**2) * weights.T @ weights + noise**2 * np.eye(columns)
    values, axes = np.linalg.eigh(covariance)
    shifted += shift * np.sqrt(values[-1]) * axes[:, -1]
    x = np.concatenate([train, normal, resampled, shifted])
    y = np.repeat([0, 0, 1, 2], [train_size, test_size, test_size, test_size])
    rows = np.split(np.arange(len(x)), [train_size])
    return _from_numbers(x, y, ("benign", "resampled", "shifted"), *rows, limit, "flows")


def sensors(
    *,
    train_size: int = 4000,
    test_size: int = 1000,
    classes: int = 6,
    factors: int = 4,
    copies: int = 4,
    noise: float = 0.3,
    noise_columns: int = 16,
    limit: int | None = None,
    seed: int = 0,
) -> Splits:
    """Generated rows of sensors: a few hidden quantities, each seen by several columns, among columns of mere noise.

    A row of class y has hidden f ~ N(mean_y, I / 4) [factors]; the means are drawn from N(0, I). `copies` columns see
    every quantity, each in its own way, x_j = sin(w_j f + b_j) + noise e_j with w_j in 0.5 ... 2; `noise_columns` more are
    N(0, 1). The columns are shuffled, so that nobody says which go together.
    """
    for name, value, least in (("classes", classes, 2), ("factors", factors, 1), ("copies", copies, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if noise < 0 or noise_columns < 0:
        raise ValueError(f"noise={noise} and noise_columns={noise_columns} must not be below 0")
    rng, size = np.random.default_rng(seed), train_size + test_size
    y = rng.integers(0, classes, size)
    hidden = rng.normal(size=(classes, factors))[y] + 0.5 * rng.normal(size=(size, factors))
    seen = np.repeat(hidden, copies, axis=1)
    frequency, phase = rng.uniform(0.5, 2, seen.shape[1]), rng.uniform(0, 2 * np.pi, seen.shape[1])
    x = np.sin(frequency * seen + phase) + noise * rng.normal(size=seen.shape)
    x = np.concatenate([x, rng.normal(size=(size, noise_columns))], axis=1)[
        :, rng.permutation(seen.shape[1] + noise_columns)
    ]
    rows = np.split(np.arange(size), [train_size])
    return _from_numbers(x, y, [str(i) for i in range(classes)], *rows, limit, "sensors")
