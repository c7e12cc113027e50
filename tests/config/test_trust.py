"""A run folder of someone else is data: what its config.json names outside jaxssl is neither imported nor called."""

import json
import sys
from pathlib import Path

import pytest

from jaxssl.build import Untrusted, build, resolve
from jaxssl.cli import main
from jaxssl.config import load_config

CONFIG = "configs/image_text/clip_fashion_captions.py:quick"
MARKER = "strange_marker"


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A folder on the path, and the current one, whose modules write a file when they are imported."""
    body = (
        "from pathlib import Path\nPath({mark!r}).write_text('imported')\n"
        "def factory(*args, **options):\n    raise RuntimeError('called')\n"
    ).format(mark=str(tmp_path / "mark"))
    for name in (MARKER, "methods/strange", "data/strange", "evaluators/strange", "jaxssl_more"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("JAXSSL_TRUST", raising=False)
    yield tmp_path
    for name in [n for n in sys.modules if "strange" in n or n in ("methods", "data", "evaluators", "jaxssl_more")]:
        del sys.modules[name]


def stored(folder: Path, path: str, value) -> str:
    """A run folder whose config.json has one other value."""
    config = load_config(CONFIG).to_dict()
    *sections, option = path.split("/")
    node = config
    for section in sections:
        node = node[section]
    node[option] = value
    run = folder / "run"
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(json.dumps(config))
    return str(run)


PLACES = (
    "data",
    "augment",
    "preprocess",
    "encoder",
    "method",
    "encoder/image",
    "encoder/text",
    "evaluate/evaluators/knn",
    "evaluate/floors/raw pixels",
    "method/inner",
    "evaluate/evaluators/new",
)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_a_name_is_guarded(place, strange):
    name = f"{MARKER}.factory"
    run = stored(strange, place, dict(name=name))
    with pytest.raises(Untrusted) as caught:
        load_config(f"{run}/config.json")
    words = (place.replace("/", "."), MARKER, "--trust", "JAXSSL_TRUST=1", "config.json")
    assert all(word in str(caught.value) for word in words), caught.value
    assert MARKER not in sys.modules and not (strange / "mark").exists()


@pytest.mark.parametrize(
    "name",
    [
        "shutil.rmtree",
        "runpy.run_path",
        "os.system",
        "subprocess.run",
        "builtins.exec",
        "jaxssl.cli.main",
        "jaxssl.cli.Path",
        "jaxssl.cli.os.system",
        "cli.main",
        "cli.os.system",
        "jaxssl.train.write_config",
        "jaxssl.build.resolve",
        "build.importlib.import_module",
        "data.load_tensorflow.os.system",
        "data.load_tensorflow.importlib.import_module",
        "data.folder.os",
        "data.captions.Path",
        "data.packed.shutil.rmtree",
        "models.two_tower.build",
        "methods.simclr.split_method",
        "methods.simclr._hidden",
        "methods.simclr.__builtins__",
        "evaluators.few_labels.np.load",
        "losses.nt_xent",
        "methods.strange.factory",
        "methods.strange",
        "data.strange.factory",
        "evaluators.strange.factory",
        "jaxssl_more.factory",
        "jaxssl.jaxssl_more.factory",
        f"{MARKER}.factory",
        f"jaxssl.{MARKER}.factory",
    ],
)
def test_only_public_factories_of_jaxssl_are_found_without_trust(name, strange):
    with pytest.raises(Untrusted):
        resolve(name, trusted=False)
    run = stored(strange, "method", dict(name=name))
    with pytest.raises(Untrusted, match=r"method\.name="):
        load_config(f"{run}/config.json")
    assert not (strange / "mark").exists()


@pytest.mark.parametrize(
    "name", [3, [1], "simclr", "..", "methods..simclr", ".methods.simclr", "methods.a b", "-m.x", True]
)
def test_what_is_no_name_is_refused(name, strange):
    run = stored(strange, "method", dict(name=name))
    with pytest.raises(ValueError, match="method.name="):
        load_config(f"{run}/config.json")


def test_own_factories_are_found_without_trust():
    for name in ("methods.simclr", "jaxssl.methods.simclr", "augment.image.simclr", "models.resnet.resnet50"):
        assert resolve(name, trusted=False) is resolve(name)


def test_trust_by_option_by_environment_and_by_what_is_typed(strange, monkeypatch):
    run = stored(strange, "method", dict(name=f"{MARKER}.factory"))
    file = f"{run}/config.json"
    assert load_config(file, trust=True).method.name == f"{MARKER}.factory"
    with pytest.raises(RuntimeError, match="called"):
        build(dict(name=f"{MARKER}.factory"))
    assert load_config(file, {"method.name": f"{MARKER}.factory"}).method.name == f"{MARKER}.factory"
    # A name typed in its place: the stored one is never looked up, nor for the options that go with the new one.
    del sys.modules[MARKER]
    (strange / "mark").unlink()
    config = load_config(file, {"method.dim": "4", "method.name": "methods.simclr"})
    assert config.method.dim == 4 and not (strange / "mark").exists()
    with pytest.raises(Untrusted):
        load_config(file, {"method.dim": "4"})
    stored(strange, "encoder/image", dict(name=f"{MARKER}.factory"))
    with pytest.raises(Untrusted):
        load_config(file, {"method.name": f"{MARKER}.other"})
    assert load_config(file, {"encoder.image.name": "models.mlp"}).encoder.image.name == "models.mlp"
    assert not (strange / "mark").exists()
    monkeypatch.setenv("JAXSSL_TRUST", "1")
    stored(strange, "method", dict(name=f"{MARKER}.factory"))
    assert load_config(file).method.name == f"{MARKER}.factory"
    monkeypatch.setenv("JAXSSL_TRUST", "0")
    with pytest.raises(Untrusted):
        load_config(file)


def test_every_command_that_opens_a_run_asks_for_trust(strange, capsys):
    run = stored(strange, "method", dict(name=f"{MARKER}.factory"))
    weights = strange / "w.safetensors"
    weights.write_bytes(b"")
    commands = [
        ["evaluate", run],
        ["embed", run, "--out", str(strange / "f.npz")],
        ["export", run, "--out", str(strange / "w2.safetensors")],
        ["train", f"{run}/config.json", "--workdir", str(strange / "new")],
        ["import", f"{run}/config.json", "--weights", str(weights), "--workdir", str(strange / "new")],
    ]
    for command in commands:
        assert main(command) == 2
        said = capsys.readouterr().err
        assert MARKER in said and "--trust" in said and len(said.splitlines()) == 1, said
        assert not (strange / "mark").exists() and not (strange / "new").exists()
    # With it the module is imported: its factory takes no options by name, and says what it is told to say.
    with pytest.raises(RuntimeError, match="called"):
        main([*commands[0], "--trust"])
    assert (strange / "mark").exists()


def test_an_evaluator_named_on_the_command_line_is_one_of_jaxssl(strange):
    from jaxssl.evaluate import evaluator_spec

    assert evaluator_spec({}, "clustering") == {"name": "evaluators.clustering"}
    for name in ("strange.factory", "strange"):
        with pytest.raises(ValueError, match="no evaluator"):
            evaluator_spec({}, name)
    assert not (strange / "mark").exists()


def test_a_file_of_one_s_own_is_trusted_and_its_run_folder_says_how_to_go_on(strange):
    own = strange / "own.py"
    own.write_text(
        "from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet\n"
        "def get_config(arg=None):\n"
        "    config = quick_convnet(fashion_mnist_12k())\n"
        f"    config.method = dict(name='{MARKER}.factory')\n"
        "    return config\n"
    )
    assert load_config(str(own)).method.name == f"{MARKER}.factory"
    (strange / "config.json").write_text(json.dumps(load_config(str(own)).to_dict()))
    with pytest.raises(Untrusted, match="the run is your own.*give --trust"):
        load_config(str(strange / "config.json"))


def test_a_stored_config_downloads_nothing(strange):
    data = dict(name="data.readers.tfds", dataset="cifar10", image_size=32)
    file = f"{stored(strange, 'data', data)}/config.json"
    assert load_config(file).data.dataset == "cifar10"
    for change in (dict(download=True), dict(dataset="huggingface:mnist"), dict(dataset="kaggle:x/y")):
        for name in ("data.tfds", "jaxssl.data.tfds", "data.tfds.tfds"):
            stored(strange, "data", {**data, "name": name, **change})
            with pytest.raises(Untrusted, match="data.(download|dataset)=.*--trust"):
                load_config(file)
    stored(strange, "data", {**data, "download": True})
    assert load_config(file, {"data.download": "true"}).data.download is True
    assert load_config(file, trust=True).data.download is True


def test_no_array_file_is_unpickled():
    for file in Path("jaxssl").rglob("*.py"):
        text = file.read_text()
        assert "allow_pickle=True" not in text and "import pickle" not in text and "joblib" not in text, file
