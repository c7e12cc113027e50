import numpy as np

from jaxssl.evaluators.floors.series import MAX_TAPS, draw, rocket


def by_hand(x, drawn):
    """The features of one series [T, C], kernel by kernel and time by time."""
    share, largest = [], []
    for k in range(len(drawn["bias"])):
        mixed = x @ drawn["channels"][k]
        margin, out = drawn["margin"][k], []
        for t in range(margin, len(x) - margin):
            at = [t + (tap - MAX_TAPS // 2) * drawn["dilation"][k] for tap in range(MAX_TAPS)]
            taps = drawn["taps"][k]
            out.append(drawn["bias"][k] + sum(w * mixed[a] for w, a in zip(taps, at) if 0 <= a < len(x)))
        share.append(np.mean(np.array(out) > 0))
        largest.append(max(out))
    return np.array(share + largest)


def test_features_match_loops():
    x = np.random.default_rng(0).normal(size=(3, 40, 2)).astype(np.float32)
    predict = rocket(None, lambda key, batch: batch, kernels=12, seed=5)
    found = np.asarray(predict(None, None, {"x": x})["features"])
    drawn = draw(np.random.default_rng(5), 12, 40, 2)
    np.testing.assert_allclose(found, np.stack([by_hand(row, drawn) for row in x]), atol=1e-4)
    apart = np.stack([x[..., :1], x[..., 1:]], axis=1)
    np.testing.assert_allclose(predict(None, None, {"x": apart})["features"], found, atol=1e-5)


def test_kernels_are_centred_and_fit_the_series():
    drawn = draw(np.random.default_rng(0), 200, 100, 4)
    np.testing.assert_allclose(drawn["taps"].sum(1), 0, atol=1e-5)
    assert set(np.unique((drawn["taps"] != 0).sum(1))) == {7, 9, 11}
    assert drawn["dilation"].min() == 1 and 8 < drawn["dilation"].max() <= 16
    assert (np.abs(drawn["channels"]) > 0).any(1).all()
    short = draw(np.random.default_rng(0), 50, 5, 1)
    assert (short["margin"] <= 2).all() and (short["dilation"] == 1).all()
