"""The command line as a new user meets it: a folder of images, then train, evaluate, embed, export, import."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from jaxssl.cli import main, open_run
from jaxssl.runlog import read_metrics

FOLDER_CONFIG = "configs/image/simclr_image_folder.py:quick"
EACH = 30  # images of a class; one more cannot be read
STEPS = 6
# Colours, blur and a second block only take time to compile.
CHANGES = [
    f"--config.total_steps={STEPS}",
    "--config.augment.jitter_probability=0.0",
    "--config.augment.grayscale_probability=0.0",
    "--config.augment.blur_probability=0.0",
    "--config.encoder.widths=(16,)",
    "--config.encoder.strides=(2,)",
    "--config.evaluate.batch_size=16",
    "--config.log.every=2",
    "--mesh",
    "1",
]


def picture(random, colour, size):
    """Noise around a colour; no two are equal."""
    return Image.fromarray(np.clip(random.normal(colour, 40, (*size, 3)), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two classes in two sub-folders, images of several sizes and formats, one file that is no image."""
    folder, random = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 60)), ("green", (60, 200, 60))):
        (folder / name).mkdir()
        for i in range(EACH):
            size = (int(random.integers(20, 50)), int(random.integers(20, 50)))
            picture(random, colour, size).save(folder / name / f"{i:02d}.{('png', 'jpg')[i % 2]}")
    (folder / "red" / "damaged.jpg").write_bytes(b"this is no image")
    (folder / "notes.txt").write_text("neither is this")
    return folder


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """Images in one folder."""
    folder, random = tmp_path_factory.mktemp("unlabelled"), np.random.default_rng(1)
    for i in range(24):
        picture(random, (100, 100, 200), (24, 24)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    """The run folder of a first training."""
    workdir = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", FOLDER_CONFIG, "--data", str(labelled), "--workdir", str(workdir), *CHANGES]) == 0
    return workdir


@pytest.fixture(scope="module")
def opened(trained):
    return open_run(str(trained), {"mesh.data": "1"})


def readable(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in (".png", ".jpg")} - {"red/damaged.jpg"}


def test_training_on_a_labelled_folder_runs_every_probe(trained, labelled):
    summary = json.loads((trained / "summary.json").read_text())
    assert {"knn/top1", "linear/top1", "few_labels/1_mean", "rankme/rank"} <= set(summary["results"]["trained encoder"])
    assert summary["train_examples"] + summary["test_examples"] == 2 * EACH + 1
    # Red against green is easy for anyone who read files and labels rightly.
    assert summary["results"]["raw pixels"]["knn/top1"] == 1.0
    assert read_metrics(trained / "metrics.jsonl")[-1]["step"] == STEPS


def test_an_unreadable_file_is_named_in_the_log_and_in_the_way_of_nothing(trained, labelled):
    lines = [line for line in (trained / "log.txt").read_text().splitlines() if "damaged.jpg" in line]
    assert lines and all("WARNING" in line for line in lines)


def test_training_without_labels_skips_what_needs_them_and_says_so(unlabelled, tmp_path, capsys):
    workdir = tmp_path / "run"
    argv = ["train", FOLDER_CONFIG, "--data", str(unlabelled), "--workdir", str(workdir), *CHANGES]
    assert main([*argv, "--config.evaluate.every=3"]) == 0
    said = (workdir / "log.txt").read_text()
    for name in ("knn", "linear", "few_labels"):
        assert f"evaluator {name} skipped: {name} needs" in said
    assert "rankme skipped" not in said
    results = json.loads((workdir / "summary.json").read_text())["results"]
    assert all(set(row) == {"rankme/rank", "rankme/feature_std"} for row in results.values())
    assert [set(row) for row in read_metrics(workdir / "metrics.jsonl") if row["step"] == 3] == [
        {"step", "rankme/rank", "rankme/feature_std"}
    ]
    assert "effective rank" in capsys.readouterr().out


def test_evaluate_runs_the_evaluators_that_are_named(trained, tmp_path, capsys):
    workdir = shutil.copytree(trained, tmp_path / "run")
    first = json.loads((workdir / "summary.json").read_text())["results"]
    assert main(["evaluate", str(workdir), "--evaluators", "knn,linear", "--config.mesh.data=1"]) == 0
    results = json.loads((workdir / "summary.json").read_text())["results"]
    assert list(results) == list(first)
    for row, values in results.items():
        assert set(values) == set(first[row]), "what other evaluators found of the same state is kept"
        assert values["knn/top1"] == pytest.approx(first[row]["knn/top1"], abs=1e-6)
    shown = capsys.readouterr().out
    assert "k-NN" in shown and "few" not in shown and "effective rank" not in shown


def test_evaluate_takes_evaluators_that_the_config_does_not_have(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "run")
    assert main(["evaluate", str(workdir), "--evaluators", "clustering", "--config.mesh.data=1"]) == 0
    results = json.loads((workdir / "summary.json").read_text())["results"]
    assert all("clustering/nmi" in values and "knn/top1" in values for values in results.values())


def test_evaluate_names_what_there_is_not(trained, capsys):
    assert main(["evaluate", str(trained), "--evaluators", "knnn"]) == 2
    assert "no evaluator 'knnn' in the config. Did you mean 'knn'?" in capsys.readouterr().err
    assert main(["evaluate", str(trained), "--step", "4"]) == 2
    assert "no checkpoint of step 4, only of [6]" in capsys.readouterr().err


def embedded(out):
    """{name: (label, features)} of a file that `embed` wrote."""
    if out.suffix == ".npz":
        with np.load(out) as file:
            names, labels, features = file["name"], file["label"], file["features"]
    else:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(out).to_pydict()
        names, labels, features = table["name"], table["label"], np.asarray(table["features"], np.float32)
    assert len(names) == len(set(names)) == len(features) == len(labels)
    return {str(n): (int(y), x) for n, y, x in zip(names, labels, features)}


@pytest.fixture(scope="module")
def features(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "features.npz"
    assert main(["embed", str(trained), "--out", str(out)]) == 0
    return embedded(out)


def test_embed_writes_every_readable_image_beside_its_name(features, labelled, opened):
    """Every row against `predict` of that file, fetched for itself."""
    assert set(features) == readable(labelled)
    experiment, state = opened
    for source in experiment.splits:
        names = source.names(np.arange(source.size))
        batch = source.fetch(np.arange(source.size), substitute=False)
        found = np.asarray(experiment.predict(state.params, state.memory, batch)["features"])
        for name, label, x, there in zip(names, batch["label"], found, batch["_mask"]):
            assert there == (name in features)
            if there:
                assert features[name][0] == label == ("green", "red").index(name.split("/")[0])
                np.testing.assert_allclose(features[name][1], x, rtol=1e-4, atol=1e-5)


def test_embed_to_parquet_gives_the_same_rows(trained, features, tmp_path, capsys):
    assert main(["embed", str(trained), "--out", str(tmp_path / "features.parquet")]) == 0
    found = embedded(tmp_path / "features.parquet")
    assert list(found) == list(features)
    for name, (label, x) in found.items():
        assert label == features[name][0]
        np.testing.assert_array_equal(x, features[name][1])
    assert "60 rows of 32 features" in capsys.readouterr().out


def test_embed_takes_another_folder(trained, features, labelled, unlabelled, tmp_path):
    assert main(["embed", str(trained), "--data", str(unlabelled), "--out", str(tmp_path / "a.npz")]) == 0
    found = embedded(tmp_path / "a.npz")
    assert set(found) == readable(unlabelled) and {label for label, _ in found.values()} == {-1}
    assert main(["embed", str(trained), "--data", str(labelled / "red"), "--out", str(tmp_path / "b.npz")]) == 0
    for name, (_, x) in embedded(tmp_path / "b.npz").items():
        np.testing.assert_allclose(x, features[f"red/{name}"][1], rtol=1e-4, atol=1e-5)


def encoder_features(experiment, state):
    return np.asarray(
        experiment.predict(state.params, state.memory, experiment.splits.test.fetch([0, 1, 2]))["features"]
    )


def test_export_then_import_gives_the_same_encoder(trained, labelled, opened, tmp_path, capsys):
    file, workdir = tmp_path / "encoder.safetensors", tmp_path / "imported"
    assert main(["export", str(trained), "--out", str(file)]) == 0
    assert f"{file}: encoder models.convnet at step {STEPS}" in capsys.readouterr().out
    overrides = [x for x in CHANGES if x.startswith("--config.")] + ["--config.mesh.data=1", "--config.seed=7"]
    given = [FOLDER_CONFIG, "--data", str(labelled), "--workdir", str(workdir), *overrides]
    arrays = load_file(file)
    for name, options in (("block1.conv.kernel", ()), ("fc.weight", ("--ignore", "stem."))):
        save_file({**arrays, name: np.zeros(3, np.float32), "stem.w": np.zeros(3, np.float32)}, file)
        assert main(["import", *given, "--weights", str(file), *options]) == (0 if options else 2)
        said = capsys.readouterr().err
        assert (
            f"{file}: left out, as no part of the encoder: fc.weight\n" if options else f"unexpected {name}\n"
        ) in said
    experiment, state = open_run(str(workdir), {"mesh.data": "1"})
    assert int(state.step) == 0 and experiment.config.seed == 7
    expected = encoder_features(*opened)
    np.testing.assert_allclose(encoder_features(experiment, state), expected, rtol=1e-5, atol=1e-6)

    # A second import would wipe out what is there.
    assert main(["import", *given, "--weights", str(file)]) == 2
    assert "holds checkpoints already" in capsys.readouterr().err

    # Training goes on from the imported encoder, not from a new one.
    still = ["--config.optim.learning_rate=1e-12", "--config.evaluate.final=False", "--config.total_steps=2"]
    assert main(["train", *given, *still, "--config.optim.warmup_steps=0"]) == 0
    assert "resumed from step 0" in (workdir / "log.txt").read_text()
    _, after = open_run(str(workdir), {"mesh.data": "1"})
    assert int(after.step) == 2
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params["encoder"], opened[1].params["encoder"]
    )


def test_import_names_what_does_not_fit(labelled, trained, tmp_path, capsys):
    file = tmp_path / "encoder.safetensors"
    assert main(["export", str(trained), "--out", str(file)]) == 0
    given = ["import", FOLDER_CONFIG, "--data", str(labelled), "--workdir", str(tmp_path / "run")]
    assert main([*given, "--weights", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors does not exist" in capsys.readouterr().err
    assert main([*given, "--weights", str(file), "--config.encoder.widths=(8, 24)"]) == 2
    said = capsys.readouterr().err
    assert f"{file} does not fit" in said and "is [16] in the file, [8] in the network" in said
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda folder: None, ["does not exist"]),
        (lambda folder: folder.mkdir(), ["no images", "it is empty"]),
        (lambda folder: folder.write_text("x"), ["is a file"]),
    ],
    ids=["missing", "empty", "a file"],
)
def test_a_folder_without_images_is_said_in_one_line(make, words, tmp_path, capsys):
    make(tmp_path / "images")
    argv = ["train", FOLDER_CONFIG, "--data", str(tmp_path / "images"), "--workdir", str(tmp_path / "run")]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxssl: ") and len(said.strip().splitlines()) == 1
    assert all(word in said for word in [str(tmp_path / "images"), *words]), said


@pytest.mark.parametrize("command", ["list", "methods"])
def test_list_shows_every_method_with_its_paper_and_config(command, capsys):
    from jaxssl.index import module_cards

    assert not main([command])
    shown = capsys.readouterr().out
    names = {name.removeprefix("methods.") for name in module_cards() if name.startswith("methods.")}
    images = {"barlow_twins", "byol", "dino", "mae", "moco", "moco_v3", "simclr", "simsiam", "swav", "vicreg"}
    assert images < names
    for name in names:
        assert f"/{name}_" in shown, name
    for name in images:
        assert f"configs/image/{name}_fashion_mnist_12k.py" in shown
    assert shown.count("arXiv:") >= len(names)


def test_without_the_extra_train_a_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "rich.console", raising=False)
    assert main(["list"]) == 2
    assert "the module rich is not installed; pip install 'jaxssl[train]'" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("train", "evaluate", "embed", "export", "import", "list"))


def test_overrides_where_none_are_taken_are_refused(capsys):
    assert main(["list", "--config.seed=1"]) == 2
    assert "list takes no overrides" in capsys.readouterr().err


def test_what_is_evaluated_with_an_override_can_be_embedded_and_exported_with_it(trained, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert main(["export", str(trained), "--out", str(out), "--config.mesh.data=1"]) == 0 and out.is_file()
    assert main(["export", str(trained), "--out", str(out), "--config.encoder.widthss=(8,)"]) == 2
    assert "encoder.widthss" in capsys.readouterr().err


def test_compiled_programs_are_kept_in_the_users_cache(tmp_path):
    workdir, cache = tmp_path / "run", tmp_path / "cache"
    options = ["--config.total_steps=4", "--config.evaluate.final=false"]
    for chosen, kept in (({}, True), ({"JAX_COMPILATION_CACHE_DIR": ""}, False)):
        shutil.rmtree(cache, ignore_errors=True)
        environ = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        environ |= {
            "XDG_CACHE_HOME": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": "tests",
            **chosen,
        }
        command = [sys.executable, "-m", "jaxssl", "train", "tests/toy.py", "--workdir", str(workdir), *options]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        assert any((cache / "jaxssl" / "compiled").glob("*")) == kept
        shutil.rmtree(workdir)
