"""Cells of .csv files: what pyarrow makes of them is what Python's strict reader makes, and what is refused."""

import csv
import io

import numpy as np
import pytest

from jaxssl.data.columns import as_cells, numbers_of
from jaxssl.data.readers.csv import read_csv
from jaxssl.data.readers.table import table

QUOTED = 'a,b\n"x,y","say ""hi"""\n"two\nlines", 3 \n,\n\n"",\xe4\n'


def strictly(text, delimiter=","):
    header, *rows = filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    return {name.strip(): [row[i] for row in rows] for i, name in enumerate(header)}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_cells_are_those_of_a_strict_reader(tmp_path, end, mark, last):
    file, text = tmp_path / "a.csv", QUOTED.replace("\n", end)
    file.write_bytes(mark + (text if last else text.removesuffix(end)).encode())
    assert {k: v.to_pylist() for k, v in read_csv(file).items()} == strictly(text)


def test_random_cells_are_those_of_a_strict_reader(tmp_path):
    random, file = np.random.default_rng(0), tmp_path / "a.csv"
    alphabet = list('ab ,;"\n\r\t\x00\xe4\u2028\U0001f600-1.e')
    for delimiter in ",;\t":
        rows = [["".join(random.choice(alphabet, random.integers(4))) for _ in range(3)] for _ in range(200)]
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["p", "q", "r"], *rows])
        file.write_bytes(text.getvalue().encode())
        assert {k: v.to_pylist() for k, v in read_csv(file, delimiter=delimiter).items()} == strictly(
            text.getvalue(), delimiter
        )


@pytest.mark.parametrize(
    "text, said",
    [
        ("a,b\n1,2\n\n3\n", r"row 2 \(line 4\) has 1 cells, but the first line names 2 columns"),
        ('a,b\n"1\n2",2\n1,2,3\n', r"row 2 \(line 4\) has 3 cells"),
        ('a,b\n1,2\n"1"x,2\n', r"line 3 cannot be read: ',' expected after '\"'"),
        ('a,b\n1,2\n"1,2\n3,4\n', r"line 4 cannot be read: unexpected end of data"),
        ('"a,b\n1,2\n', r"line 2 cannot be read: unexpected end of data"),
        ("", "the first line is empty"),
        ("\na,b\n1,2\n", "the first line is empty"),
        (",\n1,2\n", "the first line is empty"),
        ("a,\n1,2\n", "column 2 has no name in the first line"),
        ("a, a\n1,2\n", "two columns are called 'a'"),
        ("a;b\n1;2\n", "set data.delimiter=';'"),
    ],
)
def test_damaged_files_are_named_with_their_line(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text, newline="")
    with pytest.raises(ValueError, match=said) as error:
        read_csv(tmp_path / "a.csv")
    assert str(tmp_path / "a.csv") in str(error.value)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\xa7"])
def test_delimiters_that_cannot_be_are_named(tmp_path, delimiter):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="data.delimiter=.*one character"):
        table(path=str(tmp_path / "a.csv"), delimiter=delimiter)


def test_files_without_rows_and_with_one_column_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("a,b")
    assert {k: len(v) for k, v in read_csv(tmp_path / "a.csv").items()} == {"a": 0, "b": 0}
    (tmp_path / "a.csv").write_text("a\n1\n\n 2\n")
    assert read_csv(tmp_path / "a.csv")["a"].to_pylist() == ["1", " 2"]


def test_text_is_a_number_where_python_says_so():
    import pyarrow

    said = [
        "1",
        "-0.1",
        "+2",
        "1_000",
        "1e3",
        ".5",
        "5.",
        "inf",
        "-Infinity",
        "1e400",
        "4e-324",
        "nan(1)",
        "0x1",
        "1,5",
    ]
    said += ["1e", "--1", "\u0663", "1 2", "nan.", "-nan", None]
    for text in (
        *said,
        *map(str, np.random.default_rng(0).normal(size=500)),
        "0.1234567890123456789012345678901234567",
    ):
        found, strange = numbers_of(pyarrow.array([text], pyarrow.large_string()))
        try:
            expected = np.nan if text is None else float(text)
        except ValueError:
            assert strange.tolist() == [0], text
        else:
            assert not len(strange) and found.tobytes() == np.float64([expected]).tobytes() or np.isnan(expected), text
    found, strange = numbers_of(pyarrow.array(["1", None, "x", "+2", "x"]))
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, 2, np.nan])
    assert strange.tolist() == [2, 4]


def test_missing_values_are_those_named_in_any_case():
    import pyarrow

    cells = ["", "  ", "NA", "n/a", "NaN", "NULL", "None", "?", "no", " x ", "\tNa\n", None]
    expected = [None] * 8 + ["no", "x", None, None]
    assert as_cells(pyarrow.array(cells)).to_pylist() == expected
