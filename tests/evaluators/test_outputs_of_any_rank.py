"""What evaluators may ask of `predict`: outputs by name, of any rank, reduced on the device, compiled as asked for."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import get_config

from jaxssl.evaluators.extract import ask
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.experiment import setup

STATE = SimpleNamespace(params={}, memory={}, step=jnp.int32(1))
X = np.random.default_rng(0).normal(size=(10, 6, 5, 3)).astype(np.float32)
SPEAKER = np.arange(10, dtype=np.int32) % 3


def batches(rows, size=4):
    def iterate():
        for start in range(0, len(rows), size):
            ids = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)]
            yield {
                "x": jnp.asarray(X[ids]),
                "label": jnp.asarray(ids % 2),
                "speaker": jnp.asarray(SPEAKER[ids]),
                "age": jnp.asarray(ids / 2),
                "map": jnp.asarray(X[ids, :, :, 0] > 0),
                "index": jnp.asarray(ids),
                "_mask": jnp.arange(start, start + size) < len(rows),
            }

    return iterate


DATA = EvaluationData(batches(np.arange(7)), batches(np.array([9, 7, 8])), num_classes=2)


def predict(params, memory, batch):
    x = batch["x"]
    return {"features": x.mean((1, 2)), "projector": x[:, 0, 0], "maps": x, "ids": x.argmax(-1), "n": x.sum()}


def test_arrays_of_any_rank_and_arrays_of_the_batches():
    found = DATA.outputs(predict, STATE, ("maps", "ids"), arrays=("map", "age"))
    assert set(found) == {"maps", "ids", "map", "age", "label", "index"}
    np.testing.assert_array_equal(found["index"], [7, 8, 9])
    np.testing.assert_array_equal(found["maps"], X[7:])
    np.testing.assert_array_equal(found["map"], X[7:, :, :, 0] > 0)
    np.testing.assert_array_equal(found["ids"], X[7:].argmax(-1))
    assert found["ids"].dtype == np.int32 and found["map"].dtype == bool
    with pytest.raises(NotApplicable, match="no 'depth', only"):
        DATA.outputs(predict, STATE, ("maps",), arrays=("depth",))
    with pytest.raises(ValueError, match="do not lead with N"):
        DATA.outputs(predict, STATE, ("n", "maps"))


def test_reduce_runs_on_the_device_batch_by_batch():
    shapes = []

    def reduce(batch, found):
        assert isinstance(found["maps"], jax.core.Tracer) and set(found) == {"maps"}
        shapes.append(found["maps"].shape)
        return {"masked": (found["maps"] * batch["map"][..., None]).sum((1, 2))}

    found = DATA.outputs(predict, STATE, ("maps",), split="train", reduce=reduce)
    assert set(found) == {"masked", "label", "index"} and shapes == [(4, 6, 5, 3)]
    expected = (X[:7] * (X[:7, :, :, :1] > 0)).sum((1, 2))
    np.testing.assert_allclose(found["masked"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="1 of 3 rows of the test bad are not finite"):
        DATA.outputs(predict, STATE, ("maps",), reduce=lambda b, f: {"bad": jnp.where(b["index"] == 8, jnp.nan, 0.0)})


def test_features_of_another_output_and_another_label():
    f = DATA.features(predict, STATE, "projector", label="speaker")
    np.testing.assert_array_equal(f.train_x, X[:7, 0, 0])
    np.testing.assert_array_equal(f.train_y, SPEAKER[:7])
    np.testing.assert_array_equal(f.test_y, SPEAKER[7:])
    assert f.num_classes == 3 and DATA.features(predict, STATE).num_classes == 2
    np.testing.assert_array_equal(DATA.features(predict, STATE).train_y, np.arange(7) % 2)
    with pytest.raises(LabelsNeeded, match=r"label='room': the batches have no such array \[N\]; .*'speaker'"):
        DATA.features(predict, STATE, label="room")
    with pytest.raises(ValueError, match="label='age'.*integers"):
        DATA.features(predict, STATE, label="age")
    with pytest.raises(ValueError, match=r"expected \[N, D\]"):
        DATA.features(predict, STATE, "maps")


def test_each_output_is_extracted_once_for_one_state():
    calls = []
    counting = lambda *args, names=None: calls.append(names) or predict(*args)
    for of in ("features", "projector", "features", "projector"):
        DATA.features(counting, STATE, of)
    assert calls == [("features",)] * 3 + [("projector",)] * 3


def test_other_data_is_served_in_the_same_way():
    source = SimpleNamespace(num_classes=2, class_names=None, extra={}, ids=np.arange(3))
    data = EvaluationData(batches(np.arange(7)), serve=lambda source: batches(source.ids)())
    other = data.of((source, None))
    np.testing.assert_array_equal(other.features(predict, STATE).train_index, [0, 1, 2])
    assert other.test_batches is None and other.of((source, source)).test_batches is not None
    with pytest.raises(NotApplicable, match="cannot serve other data"):
        DATA.of((source, None))


def test_experiment_predict_is_compiled_for_the_outputs_that_are_asked_for():
    experiment = setup(get_config("simclr"))
    params, memory = experiment.abstract.params, experiment.abstract.memory
    batch = experiment.splits.test.fetch(np.arange(4))
    every = experiment.predict.eval_shape(params, memory, batch)
    assert set(every) > {"features"}
    one = ask(experiment.predict, ("features",))
    assert set(jax.eval_shape(one, params, memory, batch)) == {"features"}
    flops = lambda names: (
        experiment.predict.lower(params, memory, batch, names=names).compile().cost_analysis()["flops"]
    )
    assert flops(("features",)) < flops(None)
