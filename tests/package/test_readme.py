"""What the README shows is run: the loss alone, the method of one's own; its table is not stale."""

import importlib.util
import re

import numpy as np
from runs import ROOT

from jaxssl.config import load_config
from jaxssl.experiment import resident_feed, setup

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def test_the_loss_alone_is_about_ten_lines_and_runs(capsys):
    block = next(b for b in BLOCKS if "nt_xent" in b)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    exec(compile(block, "README.md", "exec"), {})
    value, norm = map(float, capsys.readouterr().out.split())
    assert 0 < value < np.log(511) and norm > 0


def test_the_method_of_one_s_own_trains(tmp_path, monkeypatch):
    for block in (b for b in BLOCKS if b.startswith("# my_")):
        name = re.match(r"# (\w+\.py)", block).group(1)
        (tmp_path / name).write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    experiment = setup(load_config(str(tmp_path / "my_config.py:quick")))
    state, feed, losses = experiment.initial(), resident_feed(experiment), []
    for _ in range(experiment.config.total_steps):
        state, metrics = experiment.update(state, feed)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_table_of_methods_is_not_stale():
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "tools" / "results_table.py")
    results_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results_table)
    assert results_table.render(README) == README, "run .venv/bin/python tools/results_table.py"


def test_words_name_parts_of_a_mean_and_not_spreads_or_signs():
    """Of anomalies by class: 'sign' and 'x_std' stand among the results and are no classes."""
    words = [line for line in README.splitlines() if "mean of " in line and line.startswith("| ")]
    assert words and all("resampled" in line for line in words if "clan_flows" in line)
    assert not any("_std" in line or "sign" in line for line in words)


def test_every_method_has_a_config_that_can_be_measured_here_and_a_paper():
    from jaxssl.index import PUBLISHED, systems

    for system in (s for s in systems() if s.id.startswith("methods.")):
        name = system.id.removeprefix("methods.")
        assert any(c.stem.startswith(name) and c.parent.name != PUBLISHED for c in system.configs), name
        assert system.card.paper or system.card.family == "supervised", name


def test_the_list_of_folders_names_every_folder_of_the_package():
    listed = README.partition("    jaxssl/\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"^      (\w+)/ ", listed, flags=re.M))
    found = {f.name for f in (ROOT / "jaxssl").iterdir() if any(f.glob("*.py"))} if named else set()
    assert named == found
