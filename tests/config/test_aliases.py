"""Names of version 0.1 go on meaning what they meant: in `build`, in configs, on the command line, in run folders."""

import json

import numpy as np
import pytest

from jaxssl.aliases import NAMES, OPTIONS, current_name, current_option, current_spec
from jaxssl.build import WrongOption, build, options_of, resolve
from jaxssl.changes import record_config
from jaxssl.config import base, load_config


@pytest.mark.parametrize("old", NAMES)
def test_every_old_name_is_a_factory_of_that_name(old):
    """Written short and long, with and without the package."""
    factory = resolve(old, trusted=False)
    assert factory.__name__ == NAMES[old].rpartition(".")[2] == old.rpartition(".")[2]
    assert factory is resolve(NAMES[old]) is resolve(f"jaxssl.{old}", trusted=False)
    if old.count(".") == 1:
        assert factory is resolve(f"{old}.{factory.__name__}", trusted=False)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_old_option_is_one_of_today(name):
    old, new, _ = OPTIONS[name]
    assert new in options_of(resolve(name)) and old not in options_of(resolve(name))


def test_names_of_today_and_of_others_stay():
    for name in (*NAMES.values(), "methods.simclr", "jaxssl.methods.simclr", "mine.data.graph", "data.nothing"):
        assert current_name(name) == name
    assert current_name("data.readers.graph.graph") == "data.readers.graph"


def test_options_are_renamed_and_keep_their_meaning():
    assert current_option("data.table", "test_share", 0.3) == ("test_fraction", 0.3)
    assert current_option("data.table.breast_cancer_anomaly", "train_share", 0.7) == ("test_fraction", 1 - 0.7)
    assert current_option("data.image_folder", "test_share", 0.3) == ("test_share", 0.3)
    nested = current_spec({"name": "a.b", "of": {"name": "data.table", "test_share": 0.3}})
    assert nested == {"name": "a.b", "of": {"name": "data.readers.table", "test_fraction": 0.3}}


def test_build_takes_old_names_and_options():
    old = build(dict(name="data.table.wine", test_share=0.5))
    new = build(dict(name="data.sets.wine", test_fraction=0.5))
    for a, b in zip(old, new):
        np.testing.assert_array_equal(a.arrays["numbers"], b.arrays["numbers"])
    with pytest.raises(WrongOption, match="test_share=0.5: the earlier name of test_fraction, which is set too"):
        build(dict(name="data.table.wine", test_share=0.5, test_fraction=0.5))
    with pytest.raises(ValueError, match=r"test_fraction=2.0: must lie in 0..1"):
        build(dict(name="data.table.wine", test_share=2))


@pytest.fixture
def stored(tmp_path):
    """A config.json as version 0.1 wrote it."""
    content = base().to_dict()
    content["data"] = dict(name="data.table.wine", mode="resident", test_share=0.4, limit=None, seed=0)
    content["encoder"] = dict(name="models.resnet.resnet18")
    content["method"] = dict(name="methods.simclr")
    content["augment"] = content["preprocess"] = dict(name="augment.table.plain")
    (tmp_path / "config.json").write_text(json.dumps(content))
    return tmp_path


def test_a_stored_config_is_brought_to_the_names_of_today(stored):
    config = load_config(str(stored / "config.json"), {"data.test_share": "0.5"})
    assert config.data.name == "data.sets.wine" and config.data.test_fraction == 0.5 and "test_share" not in config.data
    config = load_config(str(stored / "config.json"), {"data.name": "data.table.breast_cancer"})
    assert config.data.name == "data.sets.breast_cancer" and config.data.test_fraction == 0.4


def test_a_run_of_version_0_1_goes_on_under_the_new_names(stored):
    """Nothing that must not change has changed, and no earlier config is set aside."""
    record_config(load_config(str(stored / "config.json")), stored, step=10)
    assert [file.name for file in stored.iterdir()] == ["config.json"]
    with pytest.raises(ValueError, match="data.test_fraction=0.3"):
        record_config(load_config(str(stored / "config.json"), {"data.test_share": "0.3"}), stored, step=10)
