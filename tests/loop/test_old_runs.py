"""Run folders of version 0.1 go on: stopped at step 5 by that version, they end where it ended."""

import json
import zipfile
from pathlib import Path

import pytest

from jaxssl.config import load_config
from jaxssl.train import train

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("name", ["simclr", "t_jepa"])
def test_a_run_of_version_0_1_is_resumed(name, tmp_path):
    """SimCLR's views led with V; T-JEPA kept an empty `stats` in its memory, which is no longer there."""
    with zipfile.ZipFile(GOLDEN / f"run_0.1_{name}.zip") as file:
        file.extractall(tmp_path)
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "metrics.jsonl").write_text(rows[0] + "\n")
    config = load_config(str(tmp_path / "config.json"))
    state = train(config, tmp_path)
    assert int(state.step) == 10
    expected, found = json.loads(rows[1]), json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert found["step"] == expected["step"] == 10
    for key in ("train/loss", "train/grad_norm", "train/feature_rank"):
        assert found[key] == pytest.approx(expected[key], rel=1e-4), key
