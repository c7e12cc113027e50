"""Facts about systems come from cards and loaded configs: what is listed, tabled and tested does not depend on spelling."""

import json
from pathlib import Path

import pytest

from jaxssl import index
from jaxssl.card import MODALITIES, Card, wrong_card
from jaxssl.cli import main
from jaxssl.config_files import config_files, find_config, import_config

VARIABLE = """
from jaxssl.recipes.image import fashion_mnist_12k

METHOD = "methods." + "simclr"


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(name=METHOD)
    return config
"""
OWN_CARD = """
from jaxssl.card import Card
from jaxssl.recipes.image import fashion_mnist_12k

CARD = Card("Other Views", "arXiv:2101.00001", 2021, "image", "contrast")


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(name="methods.simclr")
    return config
"""
STAGES = """
from jaxssl.card import Card

CARD = Card("Select and Train", "", 2024, "any", "selection", "study")


def get_stages(arg=None):
    return []
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of configs in the place of the project's."""
    for name, text in {
        "image/simclr_variable": VARIABLE,
        "image/other_views": OWN_CARD,
        "stages/select": STAGES,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    for module in ("jaxssl.index", "jaxssl.config_files"):
        monkeypatch.setattr(f"{module}.configs_folder", lambda: tmp_path)
    return tmp_path


def configs_of(name):
    (found,) = [system.configs for system in index.systems() if system.card.name == name]
    return [config.stem for config in found]


def test_a_config_that_sets_its_method_through_a_variable_is_seen(folder):
    assert configs_of("SimCLR") == ["simclr_variable"]


def test_a_config_and_a_pipeline_with_a_card_are_systems_by_themselves(folder):
    assert configs_of("Other Views") == ["other_views"]
    assert configs_of("Select and Train") == ["select"]
    (row,) = index.rows(kind="study")
    assert row.system.card.name == "Select and Train" and row.value == index.NOT_MEASURED
    assert "simclr_variable" in config_files() and "select" not in config_files()


def test_rows_are_chosen_by_modality_family_and_kind(capsys):
    tables = list(index.rows(modality="table"))
    assert {row.config.parent.name for row in tables} == {"table"}
    assert {row.system.card.name for row in index.rows(modality="image", family="redundancy")} >= {
        "Barlow Twins",
        "VICReg",
    }
    assert len(list(index.rows())) >= len(config_files())
    assert main(["list", "--family", "contrst"]) == 2
    said = capsys.readouterr().err
    assert "--family=contrst" in said and "'contrast'" in said


def test_every_method_has_a_card_and_every_card_is_right():
    cards = index.module_cards()
    folder = Path(index.__file__).parent / "methods"
    assert {f"methods.{f.stem}" for f in folder.glob("[!_]*.py")} == {name for name in cards if name[:8] == "methods."}
    for system in index.systems():
        assert not wrong_card(system.card), f"{system.id}: {wrong_card(system.card)}"
    for folder in {file.parent.name for file in config_files().values()} - {index.PUBLISHED}:
        assert folder in MODALITIES, f"configs/{folder}"


def test_wrong_cards_are_named():
    right = Card("A", "arXiv:2101.00001", 2021, "image", "contrast")
    assert not wrong_card(right) and right.link == "https://arxiv.org/abs/2101.00001"
    assert Card("A", "doi:10.1000/1", 2021, "image", "contrast").link == "https://doi.org/10.1000/1"
    for field, value in dict(modality="images", family="contrastive", kind="method", paper="2101.00001").items():
        assert wrong_card(right._replace(**{field: value})).startswith(f"{field}='{value}': must ")


def test_every_config_runs_a_system_with_a_card():
    listed = {config for system in index.systems() for config in system.configs}
    assert not set(config_files().values()) - listed


def test_the_contract_is_checked_in_full_once_for_every_loss():
    """Pipelines and studies are no methods."""
    chosen, trained = index.contract(), [s for s in index.systems() if s.configs and s.card.kind != "study"]
    known = set(config_files().values())
    trained = [s._replace(configs=tuple(c for c in s.configs if c in known)) for s in trained if known & set(s.configs)]
    assert set(chosen) == {config for system in trained for config in system.configs}
    assert set(chosen.values()) <= {"full", "short", "data", "again"}
    for system in trained:
        here = [chosen[config] for config in system.configs if config.parent.name != index.PUBLISHED]
        assert here.count("full") + here.count("short") == 1, system.id
    own = [s for s in trained if s.id.startswith("methods.") and not skeleton(s)]
    assert all("full" in [chosen[config] for config in system.configs] for system in own)


def skeleton(system):
    first = next(config for config in system.configs if index.contract()[config] in ("full", "short"))
    return index.skeleton_of(import_config(first).get_config("quick"))


@pytest.mark.parametrize(
    "text, name",
    [
        ("simclr", "simclr_image_folder"),
        ("clan", "clan_table"),
        ("clip", "clip_pairs"),
        ("clmr", "clmr_audio_folder"),
        ("cvrl", "cvrl_video_folder"),
        ("ecg_jepa", "ecg_jepa_series"),
        ("graphmae", "graphmae_debian"),
        ("scgc", "scgc_debian"),
        ("mirror_bert", "mirror_bert_debian"),
        ("point_cmae", "point_cmae_folder"),
        ("simclr_fashion_mnist", "simclr_fashion_mnist"),
        ("moco_v3_imagenet", "moco_v3_imagenet"),
    ],
)
def test_a_short_name_means_the_config_for_data_of_one_s_own(text, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(text).stem == name


def test_names_that_mean_several_configs_or_none_are_refused():
    for text, words in {
        "moco": ["moco_fashion_mnist_12k, moco_imagenet."],
        "t_jepa": ["t_jepa_breast_cancer, t_jepa_sensors."],
        "simclrr": ["does not exist", "simclr"],
        "simclr_image_foldr": ["does not exist", "'simclr_image_folder'"],
        "nothing/simclr": ["does not exist"],
    }.items():
        with pytest.raises(ValueError) as caught:
            find_config(text)
        assert all(word in str(caught.value) for word in words), caught.value


def test_of_a_study_the_first_row_is_its_own_and_the_others_are_beside_it(folder):
    rows = {"k-centre": {"knn/top1": 0.7}, "random": {"knn/top1": 0.6}}
    record = dict(headline="knn/top1", step=0, data="data.digits", results=rows)
    (folder / "results.json").write_text(json.dumps({"other_views.py": record}))
    (row,) = [row for row in index.rows() if row.system.card.name == "Other Views"]
    assert row.results == ({"knn/top1": 0.7}, {}, {"random": {"knn/top1": 0.6}}, {})
    assert row.value == "70.0" and row.column.heading == "k-NN"


def test_rows_of_a_pipeline_that_are_no_floors_stand_beside(folder, capsys):
    rows = {"k-centre": {"knn/top1": 0.7}, "random": {"knn/top1": 0.6}, "all": {"knn/top1": 0.8}}
    record = dict(headline="knn/top1", data="data.digits", results=rows, floors=["random"], runs=3)
    (folder / "results.json").write_text(json.dumps({"select.py": record}))
    (row,) = index.rows(kind="study")
    assert row.results.floors == {"random": {"knn/top1": 0.6}} and row.results.beside == {"all": {"knn/top1": 0.8}}
    assert row.seeds == 3 and row.words == "lead over the floor not claimed"
    assert main(["list", "--kind", "study"]) == 0
    shown = capsys.readouterr().out
    assert "70.0" in shown and index.NOT_MEASURED not in shown


def test_a_pipeline_without_a_card_is_a_config_of_the_system_of_its_own_row(folder):
    text = """
from jaxssl.recipes.image import fashion_mnist_12k
from jaxssl.stages import Stage

OWN_ROW = "second"


def get_stages(arg=None):
    made = [fashion_mnist_12k() for _ in range(2)]
    made[0].method, made[1].method = dict(name="methods.byol"), dict(name="methods.distill")
    return [Stage("first", made[0]), Stage("again", made[1], row="second")]
"""
    (folder / "stages" / "two.py").write_text(text)
    assert configs_of("Distillation") == ["two"] and configs_of("BYOL") == []
