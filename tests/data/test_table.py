"""Tables of one's own and those of scikit-learn: kinds of columns, statistics, and what is refused."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from jaxssl.data.readers.table import table
from jaxssl.data.sets.breast_cancer import breast_cancer
from jaxssl.data.sets.breast_cancer_anomaly import breast_cancer_anomaly
from jaxssl.data.sets.digits_columns import digits_columns
from jaxssl.data.sets.flows import flows
from jaxssl.data.sets.sensors import sensors
from jaxssl.data.sets.wine import wine

HEADER = "age,colour,flag,height,constant,class"


@pytest.fixture
def file(tmp_path):
    """40 rows: numbers, two kinds of categories, missing cells, a constant, two classes."""
    random, lines = np.random.default_rng(0), [HEADER]
    for row in range(40):
        age = "" if row == 3 else random.integers(20, 60)
        colour = "NA" if row == 5 else ("red", "red", "green", "blue")[row % 4]
        lines.append(f"{age},{colour},{row % 2},{random.normal():.4f},7,{'yes' if row % 2 else 'no'}")
    path = tmp_path / "my.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def changed(file, row, column, text):
    """The file with one cell replaced; rows count from 1."""
    lines = file.read_text().splitlines()
    cells = lines[row].split(",")
    cells[HEADER.split(",").index(column)] = text
    lines[row] = ",".join(cells)
    other = file.with_name("changed.csv")
    other.write_text("\n".join(lines) + "\n")
    return other


def together(splits):
    """Arrays of all rows in the order of the file."""
    rows = np.concatenate([[int(n) for n in s.names(np.arange(s.size))] for s in splits.sources().values()])
    order = np.argsort(rows)
    assert (rows[order] == np.arange(1, len(rows) + 1)).all()
    names = ("numbers", "categories", "label")
    return {n: np.concatenate([s.arrays[n] for s in splits.sources().values()])[order] for n in names}


def test_a_table_of_one_s_own(file):
    splits = table(path=str(file), label="class", categorical=("flag",))
    train, test = splits
    assert (train.size, test.size, train.num_classes, train.class_names) == (30, 10, 2, ("no", "yes"))
    arrays = train.arrays
    assert arrays["numbers"].dtype == np.float32 and arrays["categories"].dtype == np.int32
    assert arrays["numbers"].shape == (30, 3) and arrays["categories"].shape == (
        30,
        2,
    )  # age height constant, colour flag
    np.testing.assert_allclose(arrays["numbers"][:, 1].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(arrays["numbers"][:, 1].std(), 1, atol=1e-5)
    rows = together(splits)
    assert (rows["numbers"][:, 2] == 0).all()
    assert rows["numbers"][3, 0] == 0  # missing: the mean
    assert rows["categories"][5, 0] == 0
    assert rows["categories"][0, 0] == 1 and set(rows["categories"][:, 0]) == {0, 1, 2, 3}  # red is the most frequent
    np.testing.assert_array_equal(rows["label"], np.arange(40) % 2)


def test_parquet_gives_what_csv_gives(file, tmp_path):
    lines = [line.split(",") for line in file.read_text().splitlines()]
    columns = {name: [row[i] for row in lines[1:]] for i, name in enumerate(lines[0])}
    number = lambda values: [None if v == "" else float(v) for v in values]
    typed = {n: number(v) if n in ("age", "height", "constant", "flag") else v for n, v in columns.items()}
    typed["colour"] = [None if v == "NA" else v for v in typed["colour"]]
    typed["colour"] = pyarrow.array(typed["colour"]).dictionary_encode()
    pyarrow.parquet.write_table(pyarrow.table(typed), tmp_path / "my.parquet")
    options = dict(label="class", categorical=("flag",))
    expected = together(table(path=str(file), **options))
    for name, value in together(table(path=str(tmp_path / "my.parquet"), **options)).items():
        np.testing.assert_array_equal(value, expected[name])


def test_new_rows_are_coded_as_the_training_table(file):
    """Its statistics and codes come from the other file, its unknown category is 0, and it needs no label."""
    lines = file.read_text().splitlines()
    new = file.with_name("new.csv")
    new.write_text(
        "\n".join(",".join(line.split(",")[:5]) for line in [lines[0], lines[1], lines[9]]) + "\n30,mauve,1,0.5,8\n"
    )
    rows = together(table(path=str(new), label="class", like=str(file), test_fraction=0.25, categorical=("flag",)))
    before = together(table(path=str(file), label="class", categorical=("flag",)))
    for name in ("numbers", "categories"):
        np.testing.assert_array_equal(rows[name][:2], before[name][[0, 8]])
    assert rows["categories"][2, 0] == 0 and (rows["label"] == -1).all()


def test_normal_rows_only_are_trained_on(file):
    train, test = table(path=str(file), label="class", normal="yes")
    assert train.class_names == ("yes", "no") and train.num_classes == 2
    assert train.size == 15 and (train.arrays["label"] == 0).all()
    np.testing.assert_array_equal(np.bincount(test.arrays["label"]), [5, 20])


def test_rare_categories_share_the_code_of_the_missing(file):
    rows = together(table(path=str(file), max_categories=2, label="class"))
    assert set(rows["categories"][:, 0]) == {0, 1}


@pytest.mark.parametrize(
    "row, column, text, said",
    [
        (7, "age", "old", r"row 7, column 'age': 'old' is no number"),
        (9, "height", "inf", r"row 9, column 'height': infinite"),
        (4, "age", "3,4", r"row 4 \(line 5\) has 7 cells"),
        (0, "age", "height", "two columns are called 'height'"),
        (0, "age", "", "column 1 has no name"),
    ],
)
def test_bad_cells_are_named(file, row, column, text, said):
    path = changed(file, row, column, text)
    with pytest.raises(ValueError, match=said) as error:
        table(path=str(path), label="class")
    assert str(path) in str(error.value)


def test_bad_options_and_files_are_named(file, tmp_path):
    path = str(file)
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        table(path=str(tmp_path / "nowhere.csv"))
    with pytest.raises(ValueError, match="no column 'clas' .label.; there are"):
        table(path=path, label="clas")
    with pytest.raises(ValueError, match="no column 'x' .drop."):
        table(path=path, drop=("x",))
    with pytest.raises(ValueError, match="column 'height' holds 40 different values"):
        table(path=path, label="height")
    with pytest.raises(ValueError, match="no row has class='maybe'"):
        table(path=path, label="class", normal="maybe")
    with pytest.raises(ValueError, match="test_fraction"):
        table(path=path, test_fraction=1.0)
    for name, text, said in (
        ("empty.csv", "", "first line is empty"),
        ("header.csv", "a,b\n", "holds no rows"),
        ("semicolon.csv", "a;b\n1;2\n", "data.delimiter=';'"),
        ("names.csv", "a,who\n" + "".join(f"{i},person{i}\n" for i in range(100)), "column 'who' holds .* data.drop"),
        ("table.json", "{}", "must end in .csv or .parquet"),
        ("broken.parquet", "no parquet", "cannot be read as a .parquet file"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=said):
            table(path=str(tmp_path / name))
    (tmp_path / "latin.csv").write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        table(path=str(tmp_path / "latin.csv"))
    pyarrow.parquet.write_table(pyarrow.table({"a": [[1], [2]]}), tmp_path / "lists.parquet")
    with pytest.raises(ValueError, match="column 'a' holds list"):
        table(path=str(tmp_path / "lists.parquet"))
    other = tmp_path / "other.csv"
    other.write_text("age,colour\n3,red\n")
    with pytest.raises(ValueError, match="other.csv: no column 'flag', which the training table has"):
        table(path=str(other), like=path, label="class")


@pytest.mark.parametrize(
    "factory, size, width", [(breast_cancer, 569, 30), (wine, 178, 13), (digits_columns, 1797, 64)]
)
def test_tables_of_scikit_learn(factory, size, width):
    train, test = factory()
    assert train.size + test.size == size and train.arrays["numbers"].shape[1] == width
    assert train.arrays["categories"].shape == (train.size, 0)
    shares = [np.bincount(s.arrays["label"]) / s.size for s in (train, test)]
    np.testing.assert_allclose(*shares, atol=0.02)
    mean, std = train.arrays["numbers"].mean(0), train.arrays["numbers"].std(0)
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    assert np.isclose(std, 1, atol=1e-4).sum() + (std == 0).sum() == width
    small = factory(limit=20)
    assert (small.train.size, small.test.size) == (20, 4)


def test_anomalies_are_never_trained_on():
    train, test = breast_cancer_anomaly()
    assert train.size == 214 and (train.arrays["label"] == 0).all() and train.num_classes == 2
    np.testing.assert_array_equal(np.bincount(test.arrays["label"]), [143, 212])


def mean_strength(rows):
    return np.abs(np.corrcoef(rows.T)).mean()


def test_flows_are_what_they_say():
    train, test = flows(train_size=3000, test_size=2000)
    x, y = test.arrays["numbers"], test.arrays["label"]
    np.testing.assert_array_equal(np.bincount(y), [2000] * 6)
    assert test.class_names == ("benign", "resampled", "shifted", "louder", "spiked", "rewired")
    benign, resampled, shifted, louder, spiked, rewired = (x[y == k] for k in range(6))
    # Every resampled or rewired column alone looks as always, but the columns go together less, or otherwise.
    for rows in (resampled, rewired):
        np.testing.assert_allclose(rows.mean(0), benign.mean(0), atol=0.12)
        np.testing.assert_allclose(rows.std(0), benign.std(0), atol=0.12)
    assert mean_strength(resampled) < 0.9 * mean_strength(benign)
    assert np.abs(np.corrcoef(rewired.T) - np.corrcoef(benign.T)).mean() > 0.2
    # The shift is 3 deviations along the first axis of the benign rows.
    values, axes = np.linalg.eigh(np.cov(train.arrays["numbers"].T))
    move = np.abs((shifted.mean(0) - benign.mean(0)) @ axes) / np.sqrt(values)
    np.testing.assert_allclose(move[-1], 3, atol=0.2)
    assert move[:-1].max() < 0.5
    # Louder rows go together as always, twice as far out.
    np.testing.assert_allclose(np.corrcoef(louder.T), np.corrcoef(benign.T), atol=0.1)
    np.testing.assert_allclose(louder.std(0) / benign.std(0), 2, atol=0.15)
    # 1 or 2 of 20 columns, by 3 to 5 deviations: 0.3 on average.
    np.testing.assert_allclose((spiked.mean(0) - benign.mean(0)).mean(), 1.5 * 4 / 20, atol=0.03)


def test_flows_of_several_services_are_no_gaussian():
    """Given the service, columns go together as strongly as in one service; over all services they do less."""
    one, several = (flows(train_size=3000, test_size=500, services=n).train.arrays["numbers"] for n in (1, 4))
    np.testing.assert_allclose(several.std(0), 1, atol=1e-3)
    distance = lambda rows: np.einsum("ni,ij,nj->n", rows, np.linalg.inv(np.cov(rows.T)), rows)
    # The squared Mahalanobis distance of a Gaussian of 20 columns has deviation sqrt(2 * 20).
    np.testing.assert_allclose(distance(one).std(), np.sqrt(40), rtol=0.05)
    assert distance(several).std() > 1.2 * np.sqrt(40)
    with pytest.raises(ValueError, match="data.services=0: must be at least 1"):
        flows(services=0)


def test_sensors_see_hidden_quantities_among_columns_of_noise():
    train, test = sensors(train_size=3000, test_size=500, factors=3, copies=4, noise=0.1, noise_columns=5)
    x = train.arrays["numbers"]
    assert x.shape == (3000, 17) and test.arrays["numbers"].shape == (500, 17) and train.num_classes == 6
    # Trees tell a column from the others where three of these see the same, and not where it is noise.
    from sklearn.ensemble import RandomForestRegressor

    def explained(column):
        others = np.delete(x, column, axis=1)
        model = RandomForestRegressor(12, min_samples_leaf=5, random_state=0).fit(others[:2000], x[:2000, column])
        return model.score(others[2000:], x[2000:, column])

    scores = [explained(column) for column in range(17)]
    assert sum(score > 0.5 for score in scores) == 12 and sum(score < 0.1 for score in scores) == 5
    with pytest.raises(ValueError, match="data.classes=1: must be at least 2"):
        sensors(classes=1)
