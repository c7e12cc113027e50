"""The cells of .csv files, as text; pyarrow splits them."""

import contextlib
import csv
import io
import itertools
from pathlib import Path

from jaxssl.data.reading import BOM, MAX_FILE_MB, decoded, read_bytes
from jaxssl.names import shown

# A row of more bytes is refused.
MAX_ROW_BYTES = 2**26


def read_csv(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, delimiter: str = ",", right: str = "") -> dict:
    """The columns of a .csv file by the names in its first line: pyarrow arrays of text, every cell as it stands.

    A file is in UTF-8, with a byte order mark or without. Lines end in LF, CR LF or CR; those without a character are
    passed over. A cell in double quotes may hold the delimiter, ends of lines, and double quotes written twice.

    Args:
      path: the file.
      max_file_mb, right: as in `jaxssl.data.reading`.
      delimiter: one character between the cells.

    Raises:
      FileNotFoundError, ValueError: naming the file, and the row (the first below the header is 1) and the line of it.
    """
    import pyarrow
    import pyarrow.csv

    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise ValueError(f"data.delimiter={delimiter!r}: must be one character such as ',' or ';'.")
    data, name = read_bytes(path, max_file_mb, right=right).removeprefix(BOM), shown(path)
    text = decoded(data, name)
    header = _header(text, name, delimiter)
    if '"' in text:
        _check_quotes(text, name, delimiter)
    columns, bad = [str(i) for i in range(len(header))], []

    def note(row):
        bad.append(row)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(data if data.endswith((b"\n", b"\r")) else data + b"\n"),
            # One thread: only then rows have numbers. No block ends inside a row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=MAX_ROW_BYTES, column_names=columns, skip_rows_after_names=1
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pyarrow.large_string()), strings_can_be_null=False
            ),
        )
    except pyarrow.ArrowException as error:
        raise ValueError(f"{name}: cannot be read as a .csv file: {error}") from error
    if bad:
        row = bad[0]
        raise ValueError(
            f"{name}: row {row.number - 1} (line {_line(text, row.number, delimiter)}) has {row.actual_columns} cells, "
            f"but the first line names {len(header)} columns"
        )
    return {title: table[i].combine_chunks() for i, title in enumerate(header)}


def check_header(file: str, header: list[str], delimiter: str | None = None) -> None:
    """Raises ValueError for names of columns that are missing or occur twice."""
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


def _reader(text, delimiter):
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _header(text, name, delimiter):
    reader = _reader(text, delimiter)
    try:
        header = [title.strip() for title in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"{name}: line {reader.line_num} cannot be read: {error}") from error
    check_header(name, header, delimiter)
    return header


def _check_quotes(text, name, delimiter):
    """Raises ValueError for a quote that is not closed, or closed inside a cell, which pyarrow lets pass."""
    reader = _reader(text, delimiter)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        raise ValueError(f"{name}: line {reader.line_num} cannot be read: {error}") from error


def _line(text, number, delimiter):
    """The line in which a row ends; the header is row 1."""
    reader = _reader(text, delimiter)
    with contextlib.suppress(csv.Error):
        for _ in itertools.islice(filter(None, reader), number):
            pass
    return reader.line_num
