"""Tables: rows with columns of numbers and of categories, from a .csv or .parquet file.

A source has `numbers` float32 [N, Dn], `categories` int32 [N, Dc] and `label`; Dn or Dc may be 0.
Numbers are standardised with mean and deviation of the training rows; a missing one becomes the mean, that is 0, and
a column with one value only becomes 0 throughout. Categories are 1, 2, ..., the most
frequent in the training rows first; 0 is a missing one, and one that the training rows do not have.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxssl.data.columns import Raw, as_cells, as_in, column_splits, encode, fit_encoding, is_text, prepare
from jaxssl.data.readers.csv import check_header, read_csv
from jaxssl.data.reading import MAX_FILE_MB, check_size, foreign, regular_file
from jaxssl.data.source import Splits
from jaxssl.data.splits import check_test_fraction
from jaxssl.names import shown

log = logging.getLogger("jaxssl")


def table(
    *,
    path: str,
    label: str | None = None,
    normal: str | None = None,
    test_fraction: float = 0.25,
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

    A source names its examples by their rows in the file; the first is 1.

    Args:
      path: the file.
      label: the column with the class, for the evaluation only; None: there is none.
      normal: anomaly detection: the value of `label` that normal rows have. Training sees only such rows, the test
        set are the held-out ones and all other rows; class 0 is the normal one.
      test_fraction: share of the rows (with `normal`: of the normal rows) held out, drawn by `seed`, in each class
        alike; 0: no test set.
      like: the file that an encoder was trained on, for new rows of the same kind. Its training rows then say how the
        columns are standardised and coded, and the label may be missing.
      categorical: columns that are categories although they hold numbers.
      drop: columns left out.
      max_categories: codes of a column, that of the missing included; only the most frequent categories have one.
        Not above the encoder's option of that name.
      delimiter: between the cells of a .csv file.
      limit: number of training rows, at most, and a fifth as many test rows.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError: naming the file, the row (the first below the header is 1) and the column.
    """
    check_test_fraction(test_fraction)
    if max_categories < 2:
        raise ValueError(f"data.max_categories={max_categories}: must be at least 2.")
    if normal is not None and label is None:
        raise ValueError(
            f"data.normal={normal!r}: names a value of the label column, but data.label is not set; set data.label too."
        )
    categorical, drop = _names(categorical), _names(drop)
    raw = _read(path, delimiter, max_file_mb)
    rules = dict(label=label, normal=normal, test_fraction=test_fraction, seed=seed)
    if like and Path(like) != Path(path):
        reference = _read(like, delimiter, max_file_mb)
        columns, _, train_rows, _, class_names = prepare(reference, categorical, drop, **rules)
        encoding = fit_encoding(columns, train_rows, max_categories, reference.where)
        if label not in raw.columns:
            rules["normal"] = None  # nothing says which rows are; all of them count as training rows
        raw = as_in(raw, columns, label)
        texts = [name for name, column in columns.items() if is_text(column)]
        columns, y, train_rows, test_rows, class_names = prepare(raw, texts, (), **rules, class_names=class_names)
    else:
        columns, y, train_rows, test_rows, class_names = prepare(raw, categorical, drop, **rules)
        encoding = fit_encoding(columns, train_rows, max_categories, raw.where)
    arrays = {**encode(columns, encoding), "label": y}
    return column_splits(arrays, train_rows, test_rows, class_names, limit, where=raw.where)


def _names(value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _read(path, delimiter, max_file_mb) -> Raw:
    """The columns of a file. Columns of a .csv file are text still."""
    file, name = Path(path), shown(path)
    if not path or not file.exists():
        raise FileNotFoundError(f"table '{name}' does not exist; option `path` (--data) names a .csv or .parquet file")
    if file.suffix.lower() in (".parquet", ".pq"):
        columns = _read_parquet(file, name, max_file_mb)
    elif file.suffix.lower() in (".csv", ".tsv", ".txt"):
        columns = {k: as_cells(v) for k, v in read_csv(file, max_file_mb, delimiter=delimiter).items()}
    else:
        raise ValueError(f"{name}: a table's name must end in .csv or .parquet")
    if not columns or not len(next(iter(columns.values()))):
        raise ValueError(f"{name}: the table holds no rows; a first line with names and one line a row would be right")
    return Raw(columns, name)


def _read_parquet(path, file, max_file_mb):
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    regular_file(path, max_file_mb)

    with foreign(path, "a .parquet file"), pyarrow.parquet.ParquetFile(path) as opened:
        about = opened.metadata
        check_size(8 * about.num_rows * max(about.num_columns, 1), max_file_mb, "what it unpacks to")
        sizes = (about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        check_size(sum(sizes), max_file_mb, "what it unpacks to")
        read = pyarrow.parquet.read_table(path)
        read.validate(full=True)
    check_header(file, read.column_names)
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
                text = pyarrow.compute.if_else(column, "True", "False") if is_any("boolean") else column
                columns[name] = as_cells(text)
        if name not in columns:
            raise ValueError(
                f"{file}: column {name!r} holds {kind}; numbers and text would be right, or leave it out by data.drop"
            )
    return columns
