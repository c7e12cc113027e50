"""Which examples are in the batch of a step: pure functions of (seed, step), the same in NumPy and under jit.

The stream is endless. Position p = step * batch_size + i lies in epoch p // size, and the example there is
permutation(seed, epoch) of p % size, which is evaluated at the positions that are asked for: starting at any step costs
nothing, and a checkpoint needs only the step. Repeats, strata, groups and mixtures are streams of the same kind.

Limits: step < 2^31, batch_size <= 2^20, size < 2^31. Epochs enter the key modulo 2^32.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxssl.data.permutation import permutation

MAX_SIZE = 2**31 - 1
MAX_BATCH_SIZE = 2**20
STEP_BITS = 31
MEMBERS = 2**96  # added to a seed: another stream of the same run


def batch_ids(
    seed: int,
    step: Any,
    *,
    batch_size: int,
    size: int,
    repeats: int = 1,
    strata: int = 1,
    order: Any = None,
    xp: Any = np,
) -> Any:
    """Ids of the examples in the global batch of a step.

    With repeats R, position p stands for p // R: an example comes R times side by side. With strata K, position p is
    stratum p % K, which holds the ids k, k + K, k + 2 K, ...; each stratum is permuted by itself in every epoch, so that
    K rows in a row hold one of each.

    Args:
      seed: Python int >= 0.
      step: int (NumPy) or int32 scalar, traced or not (jax.numpy).
      batch_size: a multiple of `repeats * strata`.
      size: ids are 0 .. size-1; a multiple of `strata`.
      order: int [size], the ids that take the places of 0 .. size-1; one id may take several.
      xp: numpy or jax.numpy.

    Returns:
      numpy -> int64 [batch_size]; jax.numpy -> int32 [batch_size], the same values.

    Raises:
      ValueError: sizes outside the limits of this file, or that `repeats` or `strata` do not divide.
    """
    check_batch_size(batch_size, repeats, strata)
    if size % strata:
        raise ValueError(f"size={size}: must be a multiple of strata={strata}, so that all strata are equally large.")
    epoch, position = _positions(step, batch_size // repeats, size, xp)
    place, stratum = position // xp.uint32(strata), position % xp.uint32(strata)
    ids = permutation(seed, epoch * xp.uint32(strata) + stratum, place, size=size // strata, xp=xp)
    ids = xp.repeat(ids * xp.uint32(strata) + stratum, repeats)
    return _as_ids(ids if order is None else order[ids], xp)


class Groups(NamedTuple):
    """Groups of examples for `group_ids`, made by `groups_of`: G groups, V visits an epoch; all arrays int64.

    members [M]: ids, group after group. group [V]: the group of a visit. start, size [V]: the place of its
    first member in `members`, and the number of its members. part [V]: the number of the visit among those of its
    group.
    """

    members: np.ndarray
    group: np.ndarray
    start: np.ndarray
    size: np.ndarray
    part: np.ndarray


def groups_of(group: np.ndarray, ids: np.ndarray, per_group: int) -> Groups:
    """The groups of ids [M] by the numbers group [M]; a group of m members is visited ceil(m / per_group) times an epoch.

    Raises:
      ValueError: a group of fewer than `per_group` members.
    """
    by_group = np.argsort(group, kind="stable")
    numbers, start, size = np.unique(group[by_group], return_index=True, return_counts=True)
    if size.min() < per_group:
        small = numbers[size.argmin()]
        raise ValueError(f"per_group={per_group}: group {small} has only {size.min()} examples.")
    visits = -(-size // per_group)
    of = np.repeat(np.arange(len(numbers)), visits)
    part = np.arange(len(of)) - np.repeat(np.cumsum(visits) - visits, visits)
    return Groups(np.asarray(ids, np.int64)[by_group], of, start[of], size[of], part)


def group_ids(seed: int, step: Any, *, batch_size: int, members: Groups, per_group: int, xp: Any = np) -> Any:
    """Ids of a batch of batch_size / per_group groups, the `per_group` examples of a group side by side.

    The visits of an epoch are permuted, and within it the members of each group. An example comes once in an epoch; where
    `per_group` does not divide a group, the last visit is filled up with the group's first members of that epoch.

    Args:
      seed, step, xp: as in `batch_ids`.
      members: `Groups`, of NumPy arrays or, under jit, of int32 arrays.

    Returns:
      Ids [batch_size] as `batch_ids`.

    Raises:
      ValueError: a batch size that is no multiple of `per_group`; limits of this file.
    """
    check_batch_size(batch_size, per_group, option="per_group")
    epoch, position = _positions(step, batch_size // per_group, len(members.group), xp)
    visit = permutation(seed, epoch, position, size=len(members.group), xp=xp)
    group, start, size, part = (xp.repeat(x[visit].astype(xp.uint32), per_group) for x in members[1:])
    place = part * xp.uint32(per_group) + xp.arange(batch_size, dtype=xp.uint32) % xp.uint32(per_group)
    # A key of their own: the groups' members are permuted independently of the visits.
    epoch = xp.repeat(epoch, per_group) * xp.uint32(len(members.group)) + group
    place = permutation(seed + MEMBERS, epoch, place % size, size=size, xp=xp)
    return _as_ids(members.members[start + place], xp)


def mixed_ids(seed: int, step: Any, *, counts: Sequence[int], parts: Sequence[Any], xp: Any = np) -> Any:
    """Ids of a batch with counts[i] rows from each part, part after part; every part walks through epochs of its own.

    Args:
      seed, step, xp: as in `batch_ids`.
      counts: rows of a batch, each above 0.
      parts: int [M_i] each, the ids of a part.

    Returns:
      Ids [sum of counts] as `batch_ids`.
    """
    drawn = (
        batch_ids(seed + i * MEMBERS, step, batch_size=count, size=len(ids), order=ids, xp=xp)
        for i, (count, ids) in enumerate(zip(counts, parts, strict=True))
    )
    return xp.concatenate(list(drawn))


def check_batch_size(batch_size: int, repeats: int = 1, strata: int = 1, option: str = "repeats") -> None:
    """Raises ValueError unless repeats * strata divides the batch size; `option` names `repeats` in the message."""
    for name, value in ((option, repeats), ("strata", strata)):
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1.")
        if batch_size % value:
            raise ValueError(f"batch_size={batch_size}: must be a multiple of {name}={value}.")
    if batch_size % (repeats * strata):
        raise ValueError(f"batch_size={batch_size}: must be a multiple of {repeats * strata}, {option} times strata.")


def _positions(step, batch_size, size, xp):
    """(epoch, position in it) of each row of a step, uint32 [batch_size]."""
    epoch, offset = stream_position(step, batch_size=batch_size, size=size, xp=xp)
    # offset + i < 2^31 + 2^20 does not overflow
    position = xp.arange(batch_size, dtype=xp.uint32) + xp.uint32(offset)
    return xp.uint32(epoch) + position // xp.uint32(size), position % xp.uint32(size)


def _as_ids(ids, xp):
    return ids.astype(np.int64 if xp is np else np.int32)


def process_slice(ids: np.ndarray, process_index: int, process_count: int) -> np.ndarray:
    """The contiguous part of a global batch [N, ...] that one process reads: [N / process_count, ...]."""
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index={process_index}: must lie in 0 .. {process_count - 1}.")
    if len(ids) % process_count:
        raise ValueError(
            f"batch_size={len(ids)}: cannot be divided among {process_count} processes; a multiple of {process_count}"
            " would be right."
        )
    rows = len(ids) // process_count
    return ids[process_index * rows : (process_index + 1) * rows]


def stream_position(step: Any, *, batch_size: int, size: int, xp: Any = np) -> tuple[Any, Any]:
    """(epoch modulo 2^32, offset in it) of the first row of a step: divmod(step * batch_size, size), exactly.

    In jax.numpy the product does not fit into 32 bits. So the division is done on the host for every bit of
    `step`, and the parts are added in pairs, each sum of offsets being brought below `size` again.
    """
    _check_sizes(batch_size, size)
    if xp is np:
        if not 0 <= int(step) < 2**STEP_BITS:
            raise ValueError(f"step={step}: must lie in 0 .. 2^{STEP_BITS} - 1.")
        epoch, offset = divmod(int(step) * batch_size, size)
        return epoch % 2**32, offset
    parts = [divmod(batch_size << bit, size) for bit in range(32)]
    present = (xp.asarray(step).astype(xp.uint32) >> xp.arange(32, dtype=xp.uint32)) & xp.uint32(1)
    epoch = present * np.array([part[0] % 2**32 for part in parts], np.uint32)
    offset = present * np.array([part[1] for part in parts], np.uint32)
    while len(offset) > 1:
        half = len(offset) // 2
        offset = offset[:half] + offset[half:]
        full = offset >= xp.uint32(size)
        offset = offset - full * xp.uint32(size)
        epoch = epoch[:half] + epoch[half:] + full
    return epoch[0], offset[0]


def _check_sizes(batch_size, size):
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size={size}: must lie in 1 .. {MAX_SIZE}.")
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise ValueError(f"batch_size={batch_size}: must lie in 1 .. {MAX_BATCH_SIZE}.")
