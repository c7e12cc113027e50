"""What is in the built package: the configs, the marker of types, bundled data of a bearable size."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile

import pytest
from runs import ROOT

import jaxssl

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()


def test_the_version_is_said_once_in_each_place():
    assert PROJECT["project"]["version"] == jaxssl.__version__


def test_bundled_data_stay_below_20_MB():
    assert sum(f.stat().st_size for f in (ROOT / "jaxssl" / "data" / "files").iterdir()) < 20e6


def test_configs_are_built_beside_the_modules(tmp_path, monkeypatch):
    """The build hook alone, without a network; `--slow` builds the whole wheel."""
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from build_configs import BuildConfigs

    command = BuildConfigs(setuptools.Distribution({"packages": ["jaxssl"], "script_name": "setup.py"}))
    command.finalize_options()
    command.build_lib = str(tmp_path)
    command.run()
    built = {
        str(f.relative_to(tmp_path / "jaxssl")) for f in (tmp_path / "jaxssl" / "configs").rglob("*") if f.is_file()
    }
    own = {str(f.relative_to(ROOT)) for f in (ROOT / "configs").rglob("*") if f.suffix in (".py", ".json")}
    assert built == own and "configs/image/simclr_image_folder.py" in built
    assert {str(tmp_path / "jaxssl" / name) for name in own} <= set(command.get_outputs())
    assert own <= set(command.get_source_files())
    command.editable_mode = True
    assert not command.configs()
    assert PROJECT["tool"]["setuptools"]["cmdclass"] == {"build_py": "tools.build_configs.BuildConfigs"}


@pytest.mark.slow
def test_the_wheel_trains_on_a_folder_from_anywhere(tmp_path):
    """Needs a network, for the build's own requirements."""
    import numpy as np
    from PIL import Image

    clone = tmp_path / "clone"
    for name in FILES:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    done = subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, clone], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert {
            "jaxssl/py.typed",
            "jaxssl/configs/results.json",
            "jaxssl/configs/image/simclr_image_folder.py",
        } <= names
        assert {name.partition("/")[0] for name in names} == {"jaxssl", f"jaxssl-{jaxssl.__version__}.dist-info"}
        archive.extractall(tmp_path / "installed")
    for i in range(40):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40, 3), np.uint8)).save(
            tmp_path / f"images/{i}.png"
        )
    command = [
        "-P",
        "-m",
        "jaxssl",
        "train",
        "simclr:quick",
        "--data",
        "images",
        "--workdir",
        "run",
        "--config.total_steps=3",
    ]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["path"] == "images" and config["method"]["name"] == "methods.simclr"
