"""Floor for videos: histograms of gradients and of optical flow, as `evaluators.floors` describes floors."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.features import EvaluationData


def gradients_and_flow(
    data: EvaluationData, preprocess: Callable, *, cells: int = 2, times: int = 2, bins: int = 8, window: int = 2
) -> Callable:
    """Histograms of oriented gradients and of optical flow (HOG and HOF), over a coarse grid in space and time.

    Flow by Lucas and Kanade: at every pixel the u that solves  sum (I_x I_x^T + r) u = - sum I_x I_t  over the pixels at most
    `window` away, I the grey value, r a thousandth of the mean squared gradient of the clip. Gradients and flows vote for
    the bin of their direction with their length; of flow there is one more bin, for pixels with gradients that move less
    than a tenth of a pixel. A cell's histogram of each kind is divided by its Euclidean length.

    Args:
      cells: the frame is cut into cells x cells, as equal as can be.
      times: the number of parts in time that the clip is cut into, at most its number of frames less one.
      bins: directions.
      window: r of the (2 r + 1)^2 pixels of the flow.

    Returns:
      `predict` with features [N, times * cells^2 * (2 bins + 1)].

    Source: Laptev, Marszalek, Schmid, Rozenfeld, Learning realistic human actions from movies, 2008,
    doi:10.1109/CVPR.2008.4587756
    """
    del data
    for name, value in dict(cells=cells, times=times, bins=bins).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: must be an integer of at least 1.")
    if not isinstance(window, int) or window < 0:
        raise ValueError(f"window={window!r}: must be an integer of at least 0.")

    def predict(params, memory, batch):
        del params, memory
        x = np.asarray(preprocess(None, batch)["x"], np.float32).mean(-1)
        if x.shape[1] <= times:
            raise ValueError(f"times={times}: needs clips of more than {times} frames; these have {x.shape[1]}.")
        gy, gx, gt = gradients(x)
        u, v = flow(gy, gx, gt, window)
        length, moved = np.hypot(gx, gy), np.hypot(u, v)
        still = np.where(moved < 0.1, length, 0)
        kinds = [votes(gy, gx, length, bins)]
        kinds.append(np.concatenate([votes(v, u, np.where(moved < 0.1, 0, moved), bins), still[..., None]], axis=-1))
        return {"features": np.concatenate([_pooled(kind, cells, times) for kind in kinds], axis=1)}

    return predict


def gradients(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Down, right and in time, of grey clips [N, T, H, W]: three of [N, T - 1, H, W], between two frames."""
    mean = (x[:, :-1] + x[:, 1:]) / 2
    gy, gx = np.gradient(mean, axis=(2, 3))
    return gy, gx, x[:, 1:] - x[:, :-1]


def flow(gy: np.ndarray, gx: np.ndarray, gt: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow of Lucas and Kanade from gradients [N, T, H, W]: (to the right, down), pixels a frame."""
    box = lambda a: _box(_box(a, window, 2), window, 3)
    xx, yy, xy, xt, yt = (box(a * b) for a, b in ((gx, gx), (gy, gy), (gx, gy), (gx, gt), (gy, gt)))
    ridge = 1e-3 * (gx**2 + gy**2).mean((1, 2, 3), keepdims=True) * (2 * window + 1) ** 2 + 1e-12
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy**2
    return (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant


def votes(y: np.ndarray, x: np.ndarray, length: np.ndarray, bins: int) -> np.ndarray:
    """`length` in the bin of the direction of (x, y), zero in the others: [..., bins]; bin 0 is around the right."""
    number = np.rint(np.arctan2(y, x) / (2 * np.pi) * bins).astype(int) % bins
    return np.where(number[..., None] == np.arange(bins), length[..., None], 0).astype(np.float32)


def _box(a, radius, axis):
    """Sum over the places at most `radius` away along an axis; nothing lies beyond the edges."""
    pad = [(0, 0)] * a.ndim
    pad[axis] = (radius + 1, radius)
    total = np.cumsum(np.pad(a, pad), axis=axis, dtype=np.float64)
    size = a.shape[axis]
    take = lambda start: np.take(total, np.arange(start, start + size), axis=axis)
    return take(2 * radius + 1) - take(0)


def _pooled(histogram, cells, times):
    """Sums over a grid of cells of [N, T, H, W, B], each divided by its length: [N, times * cells * cells * B]."""
    parts = []
    for in_time in np.array_split(histogram, times, axis=1):
        for row in np.array_split(in_time, cells, axis=2):
            for cell in np.array_split(row, cells, axis=3):
                total = cell.sum((1, 2, 3))
                parts.append(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-6))
    return np.concatenate(parts, axis=1).astype(np.float32)
