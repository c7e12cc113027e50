"""tools/benchmark.py: its report agrees with itself, on one device and on eight; no speed is asserted."""

import contextlib
import importlib.util
import io
import json
from types import SimpleNamespace

import jax
import pytest
from runs import ROOT

from jaxssl.config import load_config
from jaxssl.experiment import make_feed, setup

CONFIG = "configs/image/simclr_fashion_mnist_12k.py:quick"
RUNS = {
    "resident": ["--warmup", "1", "--peak-tflops", "0.5"],
    "stream": ["--warmup", "0", "--config.data.mode=stream", "--config.mesh.data=1"],
}
DEVICES = {"resident": 8, "stream": 1}
STEPS = 4


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "tools" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reports(benchmark, tmp_path_factory):
    """{data mode: (report, printed table, trace folder)}; one compilation each."""
    found = {}
    for mode, options in RUNS.items():
        folder, printed = tmp_path_factory.mktemp(mode), io.StringIO()
        argv = [CONFIG, "--steps", str(STEPS), "--out", str(folder / "report.json"), *options]
        argv += ["--trace", str(folder / "trace")] if mode == "stream" else []
        with contextlib.redirect_stdout(printed):
            assert benchmark.main(argv) == 0
        found[mode] = json.loads((folder / "report.json").read_text()), printed.getvalue(), folder / "trace"
    return found


@pytest.mark.parametrize("mode", RUNS)
def test_report_agrees_with_itself(reports, mode):
    report, printed, _ = reports[mode]
    assert report["config"] == CONFIG and report["data_mode"] == mode and report["steps"] == STEPS
    assert report["platform"] == "cpu" and report["device_kind"] and report["jax_version"] == jax.__version__
    assert report["device_count"] == DEVICES[mode] and report["compute_dtype"] == "float32"
    assert report["images_per_s"] == pytest.approx(1e3 * report["batch_size"] / report["step_ms"])
    assert 0 < report["step_min_ms"] <= report["step_ms"] and report["step_iqr_ms"] >= 0
    assert report["trace_s"] > 0 and report["compile_s"] > 0
    for part in ("data", "augment", "peak"):
        assert 0 < report[f"{part}_share"] <= 1, part
    assert report["augment_share"] == pytest.approx(report["augment_ms"] / report["step_ms"])
    assert report["flops_per_s"] == pytest.approx(1e3 * report["flops"] / report["step_ms"])
    assert report["peak_share"] == pytest.approx(report["flops_per_s"] / report["peak_flops_per_s"])
    assert report["memory_planned_bytes"] > 0
    assert report["memory_peak_bytes"] is None or report["memory_peak_bytes"] > 0
    assert CONFIG in printed and f"{report['images_per_s']:,.0f} images/s" in printed and mode in printed


def test_what_is_particular_to_a_run(reports):
    (resident, _, _), (stream, printed, trace) = reports["resident"], reports["stream"]
    assert resident["data_measured"] == "gather alone" and stream["data_measured"] == "time in next(feed)"
    assert resident["peak_flops_per_s"] == 8 * 0.5e12 and resident["peak_measured"] == "given"
    assert "float32 product" in stream["peak_measured"] and stream["peak_measured"] in printed
    assert stream["overrides"] == {"data.mode": "stream", "mesh.data": "1"}
    assert list(trace.rglob("*.xplane.pb"))


def test_flops_do_not_depend_on_devices_or_data_mode(reports):
    (eight, _, _), (one, _, _) = reports["resident"], reports["stream"]
    assert eight["flops_traced"] == pytest.approx(one["flops_traced"], rel=0.05)
    for report in (one, eight):
        assert report["flops_compiled"] == pytest.approx(report["flops_traced"], rel=0.5)
        assert report["flops"] == max(report["flops_compiled"], report["flops_traced"])


@pytest.mark.parametrize("mode", RUNS)
def test_flops_are_counted_on_the_cpu_where_the_backend_counts_nothing(benchmark, reports, mode):
    experiment = setup(load_config(CONFIG, {"data.mode": mode}))
    silent = SimpleNamespace(cost_analysis=lambda: None)
    counted = benchmark.count_flops(experiment, silent, silent)
    assert counted["flops_compiled"] is None
    assert counted["flops"] == counted["flops_traced"] == pytest.approx(reports[mode][0]["flops_traced"], rel=1e-3)


@pytest.mark.parametrize(
    "found, flops",
    [
        ({"flops": 3.0}, 3.0),
        ([{"flops": 3.0}, {"flops": 4.0}], 7.0),
        ([{}], None),
        ({"flops": -1.0}, None),
        (None, None),
    ],
)
def test_cost_reads_what_versions_of_jax_give(benchmark, found, flops):
    assert benchmark.cost(SimpleNamespace(cost_analysis=lambda: found)) == flops


def test_feed_starts_at_any_step():
    experiment = setup(load_config(CONFIG, {"data.mode": "stream", "mesh.data": "1"}))
    with contextlib.closing(make_feed(experiment)) as feed, contextlib.closing(make_feed(experiment, 1)) as later:
        next(feed)
        assert (next(feed)["index"] == next(later)["index"]).all()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["configs/none.py"], ["configs/none.py", "does not exist"]),
        ([CONFIG, "--config.method.temprature=1"], ["'temperature'"]),
        ([CONFIG, "--config.batch_size=30"], ["batch_size=30", "8 devices"]),
        ([CONFIG, "--steps", "0"], ["--steps 0", "at least 1"]),
        ([CONFIG, "--warmup", "-1"], ["--warmup -1"]),
        ([CONFIG, "--peak-tflops", "0"], ["--peak-tflops 0", "positive"]),
        ([CONFIG, "--out", "nowhere/a.json"], ["nowhere/a.json", "exists"]),
        ([CONFIG, "--out", "a.txt"], ["a.txt", ".json"]),
        ([CONFIG, "--trace", "pyproject.toml"], ["pyproject.toml", "folder"]),
    ],
)
def test_says_what_is_wrong_in_one_line(benchmark, argv, words, capsys):
    assert benchmark.main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("benchmark: ") and len(said.strip().splitlines()) == 1
    assert all(word in said for word in words), said


@pytest.mark.slow
def test_suite_runs_a_case_both_ways_and_compares(benchmark, tmp_path, capfd, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import benchmark_input

    make = benchmark_input.make_files
    monkeypatch.setattr(benchmark_input, "make_files", lambda where, *_: make(where, 24, 64, 48))
    out = tmp_path / "suite.json"
    small = {
        "batch_size": 8,
        "encoder.dtype": "float32",
        "encoder.layers": "(1,)",
        "encoder.name": "models.resnet.resnet",
    }
    overrides = [f"--config.{k}={v}" for k, v in small.items()] + ["--config.mesh.data=1"]
    options = ["--out", str(out), "--steps", "2", "--warmup", "0", "--peak-tflops", "0.1"]
    assert benchmark.main(["--suite", "simclr_resnet18_32", *options, *overrides]) == 0
    found = json.loads(out.read_text())
    assert list(found) == ["simclr_resnet18_32, resident", "simclr_resnet18_32, stream"]
    assert [report["data_mode"] for report in found.values()] == ["resident", "stream"]
    assert str(ROOT) not in out.read_text(), "a path of this machine"
    capfd.readouterr()
    assert benchmark.main(["--compare", str(out), str(out)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.endswith("1.00") for line in lines[1:])


def test_suite_options_that_do_not_fit(benchmark, tmp_path, capsys):
    for argv, words in (
        ([], "give a config, or --suite"),
        (["--suite", "mae_vit_g", "--out", str(tmp_path / "a.json")], "mae_vit_g: must be of dino_vit_s_224"),
        (["--suite"], "--suite needs --out"),
        (["--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")], "a.json: no report of --suite"),
    ):
        assert benchmark.main(argv) == 2
        assert words in capsys.readouterr().err
