"""A student learns from a network that never changes, given as a run or as a file; then its origin moves away."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from runs import ROOT, metrics
from safetensors.numpy import load_file, save_file
from toy import get_config

from jaxssl import frozen, pretrained
from jaxssl.build import build
from jaxssl.cli import main
from jaxssl.config import load_config
from jaxssl.experiment import setup
from jaxssl.models.module import setup as setup_network
from jaxssl.models.weights import export_timm
from jaxssl.skeletons.chain import forward_chain
from jaxssl.stored import flat, read_networks
from jaxssl.train import train

TOY = f"{ROOT / 'tests' / 'toy.py'}:simclr"
STEPS = 6
ENCODER = dict(name="models.convnet", widths=(16,), strides=(2,), dtype="float32", remat=False)
VIT = dict(name="models.vit.vit", patch_size=4, image_size=16, embed_dim=16, depth=1, num_heads=2)


def tiny(method, **changes):
    """A config on 200 images that compiles in a moment."""
    config = get_config("simclr")
    config.augment = dict(name="augment.image.mae", size=16, mean=(0.286,), std=(0.353,), crop_scale=(0.5, 1.0))
    config.method, config.mesh.data, config.batch_size = method, 1, 20
    config.total_steps, config.checkpoint.every, config.log.every, config.optim.warmup_steps = STEPS, 2, 1, 0
    for name, value in changes.items():
        config[name] = value
    return as_file(config)


def as_file(config):
    """As `load_config` gives it."""
    from jaxssl.config import validate

    config = ConfigDict(config.to_dict())
    validate(config)
    return config.lock()


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A SimCLR run, and its encoder as a file."""
    folder = tmp_path_factory.mktemp("teachers")
    config = load_config(TOY, {"total_steps": "2", "optim.warmup_steps": "0", "mesh.data": "1"})
    train(config, folder / "run")
    assert main(["export", str(folder / "run"), "--out", str(folder / "encoder.safetensors")]) == 0
    vit = build(VIT)
    weights = setup_network(vit, jax.random.key(0), np.zeros((1, 16, 16, 1), np.float32))
    export_timm(folder / "timm.safetensors", vit, *weights)
    assert "blocks.0.attn.qkv.weight" in load_file(folder / "timm.safetensors")
    return folder


def section(kind, folder):
    if kind == "run":
        return dict(name="pretrained.run", path=str(folder / "run"))
    if kind == "run with a head":
        return dict(name="pretrained.run", path=str(folder / "run"), parts=("encoder", "projector"))
    if kind == "timm file":
        return dict(name="pretrained.file", path=str(folder / "timm.safetensors"), encoder=VIT)
    return dict(name="pretrained.file", path=str(folder / "encoder.safetensors"), encoder=ENCODER)


def distill(teacher, **changes):
    return tiny(dict(name="methods.distill", teacher=teacher, divergence="cosine"), **changes)


@pytest.mark.parametrize("kind", ["run", "file", "timm file", "run with a head"])
def test_the_teacher_moves_away_and_resume_embed_evaluate_and_export_still_work(kind, teachers, tmp_path, capsys):
    origin = shutil.copytree(teachers, tmp_path / "origin")
    run = tmp_path / "run"
    train(distill(section(kind, origin), total_steps=4), run)
    copies = [p.relative_to(run) for p in frozen.paths(run)]
    assert copies == [Path("frozen/method.teacher")]
    shutil.move(origin, tmp_path / "elsewhere")
    state = train(distill(section(kind, origin)), run)
    assert int(state.step) == STEPS and "its copy" in (run / "log.txt").read_text()
    assert metrics(run)[-1]["step"] == STEPS
    for command in (
        ["embed", str(run), "--out", str(tmp_path / "features.npz")],
        ["export", str(run), "--out", str(tmp_path / "student.safetensors")],
        ["evaluate", str(run), "--evaluators", "knn", "--no-baselines"],
    ):
        assert main(command) == 0, capsys.readouterr().err
    with np.load(tmp_path / "features.npz") as found:
        assert len(found["features"]) == 240 and np.isfinite(found["features"]).all()


def test_a_run_killed_and_resumed_without_its_teacher_is_the_run_that_was_not(teachers, tmp_path):
    origin = shutil.copytree(teachers, tmp_path / "origin")
    config = distill(section("run", origin))
    train(config, tmp_path / "whole")
    run = shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(run / "checkpoints" / str(STEPS))
    shutil.rmtree(origin)
    train(config, run)
    assert metrics(run) == metrics(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["run", "file"])
def test_a_resume_with_other_weights_is_refused_by_name(kind, teachers, tmp_path, caplog):
    origin = shutil.copytree(teachers, tmp_path / "origin")
    config, run = distill(section(kind, origin), total_steps=4), tmp_path / "run"
    train(config, run)
    if kind == "file":
        arrays = load_file(origin / "encoder.safetensors")
        name = sorted(arrays)[0]
        save_file({**arrays, name: arrays[name] + 1}, origin / "encoder.safetensors")
    else:
        other = load_config(TOY, {"total_steps": "2", "optim.warmup_steps": "0", "mesh.data": "1", "seed": "7"})
        shutil.rmtree(origin / "run")
        train(other, origin / "run")
    before = (run / "frozen/method.teacher/spec.json").read_text()
    with pytest.raises(ValueError, match=r"method.teacher.path='.*': these are other weights than those that the run"):
        train(distill(section(kind, origin)), run)
    assert (run / "frozen/method.teacher/spec.json").read_text() == before
    train(distill(section(kind, origin)), run, allow_changes=True)
    assert (run / "frozen/method.teacher/spec.json").read_text() != before


def test_a_teacher_that_trained_on_is_taken_as_it_was(teachers, tmp_path):
    origin, run = shutil.copytree(teachers, tmp_path / "origin"), tmp_path / "run"
    train(distill(section("run", origin), total_steps=4), run)
    more = load_config(TOY, {"total_steps": "4", "optim.warmup_steps": "0", "mesh.data": "1"})
    train(more, origin / "run")
    train(distill(section("run", origin)), run)
    assert json.loads((run / "frozen/method.teacher/spec.json").read_text())["step"] == 2


def test_a_damaged_copy_is_named(teachers, tmp_path, capsys):
    run = tmp_path / "run"
    train(distill(section("file", teachers), total_steps=2), run)
    file = run / "frozen" / "method.teacher" / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert main(["embed", str(run), "--out", str(tmp_path / "f.npz")]) == 2
    assert f"{file} is not what was written" in capsys.readouterr().err


def test_frozen_weights_are_in_no_checkpoint_and_never_change(teachers, tmp_path):
    config = distill(section("run", teachers))
    experiment = setup(config)
    state, wanted = experiment.initial(), read_networks(teachers / "run").params["encoder"]
    from jaxssl.experiment import resident_feed

    feed = resident_feed(experiment)
    for _ in range(2):
        state, _ = experiment.update(state, feed)
    for x, y in zip(jax.tree.leaves(state.memory["frozen"]["params"]["encoder"]), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(x, y)
    train(config, tmp_path / "run")
    assert not any("frozen" in path for path in flat(stored_memory(tmp_path / "run")))


def stored_memory(run):
    from jaxssl.checkpoint import Checkpoints

    checkpoints = Checkpoints(run / "checkpoints", read_only=True)
    _, tree = checkpoints.arrays()
    checkpoints.close()
    return tree["memory"]


def test_no_gradient_reaches_the_teacher_and_the_student_learns_its_direction(teachers):
    experiment = setup(distill(section("run", teachers)))
    method, state = experiment.method, experiment.initial()
    batch = {"views": (jax.random.normal(jax.random.key(0), (4, 16, 16, 1)),)}

    def loss(params, arrays):
        return method.loss(params, {**state.memory, "frozen": arrays}, batch, jax.random.key(1), state.step)[0]

    own, of_teacher = jax.grad(loss, argnums=(0, 1))(state.params, state.memory["frozen"])
    assert not any(np.any(x) for x in jax.tree.leaves(of_teacher))
    assert any(np.any(x) for x in jax.tree.leaves(own))


def test_networks_of_a_run_give_what_the_run_gives(teachers):
    network = build(section("run with a head", teachers))
    arrays = network.load()
    x = np.random.default_rng(0).normal(size=(3, 16, 16, 1)).astype(np.float32)
    found, _ = forward_chain(network.chain, arrays["params"], arrays["stats"], x)
    experiment = setup(load_config(TOY, {"mesh.data": "1"}))
    there = read_networks(teachers / "run")
    wanted = experiment.method.predict(there.params, {"stats": there.stats}, {"x": x})
    np.testing.assert_allclose(found["encoder"], wanted["features"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["projector"], wanted["projector"], rtol=1e-5, atol=1e-6)


def test_random_networks_are_fixed_by_the_seed():
    make = lambda seed: pretrained.random(encoder=build(ENCODER), seed=seed, shape=(16, 16, 1)).load()
    first, again, other = (flat(make(seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(first[k], again[k]) for k in first)
    assert any(not np.array_equal(first[k], other[k]) for k in first)


def test_what_is_refused(teachers, tmp_path):
    with pytest.raises(ValueError, match="pretrained.run.path='nowhere': nowhere is no run folder"):
        pretrained.run(path="nowhere")
    with pytest.raises(ValueError, match="'projectr' is no network of .* Did you mean 'projector'"):
        pretrained.run(path=str(teachers / "run"), parts=("encoder", "projectr"))
    with pytest.raises(ValueError, match="holds no checkpoint of step 99"):
        pretrained.run(path=str(teachers / "run"), step=99)
    with pytest.raises(ValueError, match="pretrained.file.path='x.safetensors': there is no such file"):
        pretrained.file(path="x.safetensors", encoder=build(ENCODER))
    with pytest.raises(ValueError, match="method.teacher: pretrained.run.path='nowhere'"):
        train(distill(dict(name="pretrained.run", path="nowhere")), tmp_path / "run")
    shown = dict(name="augment.image.mae", size=16, mean=(0.5,), std=(0.5,))
    with pytest.raises(
        ValueError, match=r"method.teacher: was trained with mean=\(0.286,\), this config shows mean=\(0.5,\)"
    ):
        train(distill(section("run", teachers), augment=shown), tmp_path / "other")
    with pytest.raises(
        ValueError, match="divergence='kd': compares class probabilities, and the teacher gives features"
    ):
        setup(tiny(dict(name="methods.distill", teacher=section("run", teachers), divergence="kd")))


@pytest.mark.parametrize("place", ["run", "copy"])
def test_what_lies_in_a_run_folder_may_name_factories_of_jaxssl_only(place, teachers, tmp_path, monkeypatch):
    origin, run = shutil.copytree(teachers, tmp_path / "origin"), tmp_path / "run"
    train(distill(section("run", origin), total_steps=2), run)
    file = origin / "run" / "config.json" if place == "run" else run / "frozen" / "method.teacher" / "spec.json"
    content = json.loads(file.read_text())
    content["encoder"]["name"] = "toy.toy"
    file.write_text(json.dumps(content))
    make = dict(name="pretrained.run", path=str(origin / "run"))
    make = make if place == "run" else dict(name="pretrained.copy", path=str(run / "frozen" / "method.teacher"))
    with pytest.raises(ValueError, match="toy.toy.*not among the factories of jaxssl"):
        build(make)
