"""One run or several of a config: recorded as each is finished, never run again, shown as mean and spread."""

import importlib.util
import json
import subprocess

import pytest
from runs import ROOT

from jaxssl import index, measured
from jaxssl.card import Card
from jaxssl.cli import main
from jaxssl.config import load_config
from jaxssl.files import to_json

CONFIG = "simclr_fashion_mnist_12k"
FILE = f"{CONFIG}.py"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_of(seed, knn=0.5, labels=0.6):
    trained = {"knn/top1": knn, "few_labels/10_mean": labels, "few_labels/10_std": 0.02}
    floor = {"knn/top1": 0.4, "few_labels/10_mean": 0.3, "few_labels/10_std": 0.01}
    return dict(
        step=600,
        data="data.sets.fashion_mnist_12k",
        batch_size=128,
        seed=seed,
        headline="few_labels/10_mean",
        device="2 CPU cores",
        results={"raw pixels": floor, "untrained encoder": floor, "trained encoder": trained},
    )


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """(the tool, its file of results, the runs that were made)."""
    module, made = tool("measure"), []
    module.RESULTS = tmp_path / "results.json"

    def measure(config, overrides):
        made.append((config, int(overrides.get("seed", 0))))
        if len(made) == measure.killed_at:
            raise KeyboardInterrupt
        return run_of(made[-1][1], knn=0.5 + 0.1 * made[-1][1])

    measure.killed_at = 0
    monkeypatch.setattr(module, "measure", measure)
    return module, module.RESULTS, made


def test_every_seed_is_kept_and_none_is_run_again(tools, capsys):
    module, file, made = tools
    assert module.main([CONFIG, "--seeds", "0,1"]) == 0
    record = json.loads(file.read_text())[FILE]
    assert {seed: run["seed"] for seed, run in record["seeds"].items()} == {"0": 0, "1": 1}
    assert module.main([CONFIG, "--seeds", "0,1,2"]) == 0
    assert [seed for _, seed in made] == [0, 1, 2]
    assert f"{FILE}, seed 1: recorded already" in capsys.readouterr().out
    assert module.main([CONFIG]) == 0 and len(made) == 3  # the config's own seed is among them
    assert module.main([CONFIG, "--seeds", "1", "--again"]) == 0
    assert [seed for _, seed in made] == [0, 1, 2, 1]
    assert sorted(json.loads(file.read_text())[FILE]["seeds"]) == ["0", "1", "2"]


def test_killed_between_seeds_it_goes_on(tools):
    module, file, made = tools
    module.measure.killed_at = 2
    with pytest.raises(KeyboardInterrupt):
        module.main([CONFIG, "--seeds", "0,1,2"])
    assert measured.runs(json.loads(file.read_text())[FILE]).keys() == {0}
    module.main([CONFIG, "--seeds", "0,1,2"])
    assert [seed for _, seed in made] == [0, 1, 1, 2]
    assert measured.runs(json.loads(file.read_text())[FILE]).keys() == {0, 1, 2}


def test_runs_of_another_config_are_not_averaged_with(tools):
    module, file, made = tools
    module.main([CONFIG, "--seeds", "0,1"])
    module.main([CONFIG, "--seeds", "1", "--config.optim.learning_rate=0.1"])
    record = json.loads(file.read_text())[FILE]
    assert measured.runs(record).keys() == {1} and record["overrides"] == {"optim.learning_rate": "0.1"}
    module.main([CONFIG, "--seeds", "1", "--config.optim.learning_rate=0.1", "--config.log.every=5"])
    assert len(made) == 3  # what is logged changes no result


def test_a_record_of_before_is_read_and_run_again_only_when_asked(tools):
    module, file, made = tools
    file.write_text(json.dumps({FILE: run_of(0), "other.py": run_of(0)}))
    assert measured.runs(json.loads(file.read_text())[FILE]) == {0: run_of(0)}
    module.main([CONFIG, "--seeds", "1"])  # nothing says that the earlier run was of the same config
    found = json.loads(file.read_text())
    assert measured.runs(found[FILE]).keys() == {1} and found["other.py"] == run_of(0)


def test_what_cannot_be_recorded_is_refused(tools, capsys):
    module, file, made = tools
    with pytest.raises(ValueError, match="evaluate.part='validation'"):
        module.main([CONFIG, "--config.evaluate.part=validation"])
    for argv in (
        [CONFIG, "--seeds", "a"],
        [CONFIG, "--seeds", "0", "--config.seed=1"],
        ["coreset_fashion_mnist", "--seeds=0"],
    ):
        with pytest.raises(SystemExit):
            module.main(argv)
    assert not made and not file.exists() and "seeds" in capsys.readouterr().err


def test_finished_run_folders_are_recorded_in_the_place_of_training(tools, tmp_path):
    module, file, made = tools
    for seed in (0, 2):
        folder = tmp_path / f"run{seed}"
        folder.mkdir()
        config = load_config(CONFIG, {"seed": str(seed), "log.every": "7"})
        (folder / "config.json").write_text(to_json(config.to_dict()))
        (folder / "summary.json").write_text(json.dumps(run_of(seed)))
    names = [str(tmp_path / "run0"), str(tmp_path / "run2")]
    assert module.main([CONFIG, "--runs", *names]) == 0 and not made
    assert sorted(json.loads(file.read_text())[FILE]["seeds"]) == ["0", "2"]
    module.main([CONFIG, "--seeds", "0,2"])
    assert not made, "recorded already"
    with pytest.raises(ValueError, match="run2: is a run of another config than .*: optim.learning_rate"):
        module.main([CONFIG, "--runs", names[1], "--config.optim.learning_rate=0.5"])
    (tmp_path / "run2" / "summary.json").write_text(json.dumps({**run_of(2), "step": 300}))
    with pytest.raises(ValueError, match="run2: was evaluated at step 300 of 600"):
        module.main([CONFIG, "--runs", names[1]])
    (tmp_path / "run2" / "summary.json").unlink()
    with pytest.raises(ValueError, match="run2: has no summary.json"):
        module.main([CONFIG, "--runs", names[1]])


def test_of_several_seeds_tables_show_mean_and_spread():
    record = measured.joined({seed: run_of(seed, 0.5 + 0.1 * seed, 0.6 + 0.1 * seed) for seed in range(3)})
    system = index.System(Card("SimCLR", "", 2020, "image", "contrast"), "methods.simclr", ())
    row = index.Row(system, ROOT / "configs" / "image" / FILE, record)
    assert row.seeds == 3 and row.value == "70.0 ± 10.0" and row.measured["step"] == 600
    assert row.results.own["knn/top1"] == pytest.approx(0.6) and row.results.own["knn/top1_std"] == pytest.approx(0.1)
    # What no seed changes keeps its spread over draws of labels.
    assert row.results.floors["raw pixels"]["few_labels/10_std"] == 0.01
    one = index.Row(system, row.config, run_of(0))
    assert one.seeds == 1 and one.value == "60.0 ± 2.0" and "knn/top1_std" not in one.results.own


def test_the_table_and_the_list_say_how_many_seeds(monkeypatch, capsys):
    table = tool("results_table")
    record = measured.joined({seed: run_of(seed, 0.5 + 0.1 * seed) for seed in range(3)})
    monkeypatch.setattr(index, "results", lambda: {FILE: record})
    lines = [line for line in table.images() if "SimCLR" in line]
    assert len(lines) == 1 and "| 60.0 ± 10.0 |" in lines[0] and "| 3 |" in lines[0]
    assert any("over seeds" in line and "draws of labels" in line for line in table.images())
    assert "simclr_fashion_mnist_12k.py: 3 seeds; floor +0.300" in "\n".join(table.claims())
    assert main(["list", "--family", "contrast", "--modality", "image"]) == 0
    assert "60.0 ± 0.0" in capsys.readouterr().out


def test_a_pipeline_is_measured_with_its_own_row_first(tmp_path, monkeypatch):
    module = tool("measure")
    text = (ROOT / "tests" / "stage_parts.py").read_text()
    pipeline = tmp_path / "toys.py"
    pipeline.write_text(f'{text}\nOWN_ROW, FLOOR_ROWS, HEADLINE = "chosen", ("all",), "knn/top1"\n')
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(module, "stage_files", lambda: {"toys": pipeline})
    monkeypatch.setattr(subprocess, "run", lambda command, **_: main(command[3:]))
    assert module.main(["toys"]) == 0
    record = json.loads((tmp_path / "results.json").read_text())["toys.py"]
    assert next(iter(record["results"])) == "chosen" and set(record["results"]) == {
        "chosen",
        "all",
        "untrained encoder",
    }
    assert record["runs"] == 2 and record["floors"] == ["all"]
    assert "knn/top1_std" in record["results"]["chosen"] and record["headline"] == "knn/top1"
    system = index.System(Card("Toys", "", 2024, "image", "selection", "study"), "configs/stages/toys.py", ())
    row = index.Row(system, pipeline, record)
    assert row.seeds == 2 and row.value != index.NOT_MEASURED and set(row.results.floors) == {"all"}
    assert {"data.sets.fashion_mnist_12k", "stage_parts.part"} <= set(record["sources"])
    before = (tmp_path / "results.json").read_text()
    monkeypatch.setattr(module, "measure_stages", None)  # is not called again
    assert module.main(["toys"]) == 0 and (tmp_path / "results.json").read_text() == before
