"""Generated heart rhythms."""

import numpy as np

from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "generated data"

RHYTHMS = ("normal", "tachycardia", "irregular RR", "absent P wave")
RATE, SECONDS = 100, 10  # samples a second, and the length of a recording
# The waves P, Q, R, S, T of one beat: seconds from R at a distance of 1 s between beats, width in seconds.
CENTRES = np.array([-0.18, -0.035, 0.0, 0.035, 0.28])
WIDTHS = np.array([0.025, 0.010, 0.012, 0.010, 0.045])
# Height of each wave in each of four leads.
HEIGHTS = np.array(
    [
        [0.12, -0.08, 1.00, -0.20, 0.25],
        [0.16, -0.06, 0.70, -0.10, 0.30],
        [0.08, -0.02, 0.25, -0.80, 0.20],
        [-0.10, 0.05, -0.60, 0.15, -0.22],
    ]
)
WINDOW = np.arange(-40, 60)  # samples around R in which a beat differs from zero


def ecg_rhythms(*, train: int = 2000, test: int = 400, seed: int = 0) -> Splits:
    """Generated electrocardiograms of four rhythms: `series` [N, 1000, 4], 10 s of 4 leads at 100 Hz.

    A beat is a sum of five Gaussian waves (P, Q, R, S, T). Classes: normal (50 ... 95 beats a minute), tachycardia
    (105 ... 160), irregular distances between beats, and beats without a P wave. Heights, widths, noise, and the
    wandering of the baseline differ from series to series. The same options give the same arrays.

    Args:
      train, test: number of series, the rhythms balanced.
      seed: of all that is drawn.

    Source of the beat: McSharry, Clifford, Tarassenko, Smith, A dynamical model for generating synthetic
    electrocardiogram signals, 2003, doi:10.1109/TBME.2003.808805
    """
    for name, count in (("train", train), ("test", test)):
        if count < len(RHYTHMS):
            raise ValueError(f"data.{name}={count}: must be at least {len(RHYTHMS)}, one series of each rhythm.")
    parts = (_rhythms(np.random.default_rng([seed, i]), count) for i, count in enumerate((train, test)))
    return Splits(*(from_arrays(part, class_names=RHYTHMS, where="ecg_rhythms") for part in parts))


def _rhythms(random, count):
    """`series` and `label` of `count` recordings."""
    label = random.permutation(np.arange(count) % len(RHYTHMS))
    rate = np.where(label == 1, random.uniform(105, 160, count), random.uniform(50, 95, count))
    spread = np.where(label == 2, random.uniform(0.15, 0.3, count), 0.03)
    beats = int(SECONDS * 160 / 60) + 8
    distance = (60 / rate)[:, None] * np.exp(spread[:, None] * random.normal(size=(count, beats)))
    distance = np.maximum(distance, 0.33)
    time = np.cumsum(distance, axis=1) - random.uniform(0.3, 1.3, (count, 1))
    heights = HEIGHTS * np.exp(0.2 * random.normal(size=(count, *HEIGHTS.shape)))
    heights[label == 3, :, 0] = 0
    # Waves move together when the heart beats faster.
    centres = CENTRES * np.sqrt(60 / rate)[:, None] * np.exp(0.05 * random.normal(size=(count, len(CENTRES))))
    widths = WIDTHS * np.exp(0.1 * random.normal(size=(count, len(WIDTHS))))
    length, edge = RATE * SECONDS, len(WINDOW)
    signal = np.zeros((count, length + 2 * edge, len(HEIGHTS)), np.float32)
    rows = np.arange(count)[:, None]
    for b in range(beats):
        first = np.round(time[:, b] * RATE).astype(int)
        seen = np.flatnonzero((first > -60) & (first < length + 40))
        at = first[seen, None] + WINDOW
        seconds = at / RATE - time[seen, b, None]
        shape = (seconds[:, None] - centres[seen, :, None]) / widths[seen, :, None]
        signal[rows[seen], at + edge] += np.einsum("nlw,nwt->ntl", heights[seen], np.exp(-0.5 * shape**2))
    signal = signal[:, edge:-edge]
    # Every electrode also records a baseline that wanders with the breath, and noise.
    clock = np.arange(length)[None, :, None] / RATE
    phase, hertz = random.uniform(0, 2 * np.pi, (count, 1, 4)), random.uniform(0.1, 0.4, (count, 1, 1))
    signal += random.uniform(0, 0.2, (count, 1, 4)) * np.sin(2 * np.pi * hertz * clock + phase)
    signal += random.uniform(0.02, 0.08, (count, 1, 1)) * random.standard_normal(signal.shape, np.float32)
    signal *= np.exp(0.2 * random.normal(size=(count, 1, 1)))
    return {"series": signal.astype(np.float32), "label": label}
