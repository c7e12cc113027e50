"""Which examples are in the batch of a step: pure functions of (seed, step), the same in NumPy and under jit.

The stream is endless. Position p = step * batch_size + i lies in epoch p // size, and the example there is
permutation(seed, epoch) of p % size. The permutation is never stored: a small keyed Feistel network is
evaluated at the positions that are asked for, so that starting at any step costs nothing and a checkpoint
needs only the step.

Limits: step < 2^31, batch_size <= 2^20, size < 2^31. Epochs enter the key modulo 2^32.

Source: Black & Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002,
https://doi.org/10.1007/3-540-45760-7_9
"""

import numpy as np

MAX_SIZE = 2**31 - 1
MAX_BATCH_SIZE = 2**20
STEP_BITS = 31
ROUNDS = 10  # with 6 the order is measurably uneven in epochs of 2 to 9 examples; with 10 it is not


def batch_ids(seed: int, step, *, batch_size: int, size: int, xp=np):
    """Ids of the examples in the global batch of a step.

    seed: Python int >= 0. step: int (NumPy) or int32 scalar, traced or not (jax.numpy).
    xp: numpy -> int64 [batch_size]; jax.numpy -> int32 [batch_size], the same values.
    Raises: ValueError for sizes outside the limits of this file.
    """
    epoch, offset = stream_position(step, batch_size=batch_size, size=size, xp=xp)
    # offset + i < 2^31 + 2^20 does not overflow
    position = xp.arange(batch_size, dtype=xp.uint32) + xp.uint32(offset)
    epoch = xp.uint32(epoch) + position // xp.uint32(size)
    ids = permutation(seed, epoch, position % xp.uint32(size), size=size, xp=xp)
    return ids.astype(np.int64 if xp is np else np.int32)


def process_slice(ids, process_index: int, process_count: int):
    """The contiguous part of a global batch [N, ...] that one process reads: [N / process_count, ...]."""
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index {process_index} must lie in 0..{process_count - 1}")
    if len(ids) % process_count:
        raise ValueError(
            f"batch_size {len(ids)} cannot be divided among {process_count} processes; "
            f"it must be a multiple of {process_count}"
        )
    rows = len(ids) // process_count
    return ids[process_index * rows : (process_index + 1) * rows]


def stream_position(step, *, batch_size: int, size: int, xp=np):
    """(epoch modulo 2^32, offset in it) of the first row of a step: divmod(step * batch_size, size), exactly.

    In jax.numpy the product does not fit into 32 bits. So the division is done on the host for every bit of
    `step`, and the parts are added in pairs, each sum of offsets being brought below `size` again.
    """
    _check_sizes(batch_size, size)
    if xp is np:
        if not 0 <= int(step) < 2**STEP_BITS:
            raise ValueError(f"step {step} must lie in 0..2^{STEP_BITS} - 1")
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


def permutation(seed: int, epoch, position, *, size: int, xp=np):
    """The example at each position of its epoch: for every (seed, epoch) a bijection of 0 .. size-1.

    epoch, position: uint32 [N], position < size. Returns uint32 [N].
    A Feistel network permutes the smallest domain 4^h >= size; what falls outside 0 .. size-1 is sent through
    again until it is inside (cycle walking), at most 4 times on average.
    """
    half_bits = max(1, -(-(size - 1).bit_length() // 2))
    keys = _round_keys(seed, epoch, xp)

    def unfinished(state):
        return state[1].any()

    def walk(state):
        x, outside = state
        x = xp.where(outside, _feistel(x, keys, half_bits, xp), x)
        return x, x >= xp.uint32(size)

    state = (position, xp.ones(position.shape, bool))
    if xp is not np:
        import jax

        return jax.lax.while_loop(unfinished, walk, state)[0]
    while unfinished(state):
        state = walk(state)
    return state[0]


def _round_keys(seed, epoch, xp):
    """uint32 [ROUNDS, N]."""
    if seed < 0:
        raise ValueError(f"seed {seed} must not be negative")
    # one-element arrays: NumPy wraps around silently for arrays, and warns for scalars
    key = xp.zeros(1, xp.uint32)
    while True:
        key = _mix(key + xp.uint32(seed % 2**32), xp) + xp.uint32(0x9E3779B9)
        seed //= 2**32
        if seed == 0:
            break
    key = _mix(epoch + key, xp)
    rounds = np.arange(1, ROUNDS + 1, dtype=np.uint32)[:, None] * np.uint32(0x9E3779B9)
    return _mix(key + rounds, xp)


def _feistel(x, keys, half_bits, xp):
    shift, mask = xp.uint32(half_bits), xp.uint32(2**half_bits - 1)
    left, right = x >> shift, x & mask
    for i in range(ROUNDS):
        left, right = right, left ^ (_mix(right ^ keys[i], xp) & mask)
    return (left << shift) | right


def _mix(x, xp):
    """The 32-bit finaliser of MurmurHash3 (Austin Appleby): every input bit reaches every output bit."""
    x = (x ^ (x >> xp.uint32(16))) * xp.uint32(0x85EBCA6B)
    x = (x ^ (x >> xp.uint32(13))) * xp.uint32(0xC2B2AE35)
    return x ^ (x >> xp.uint32(16))


def _check_sizes(batch_size, size):
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size {size} must lie in 1..{MAX_SIZE}")
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise ValueError(f"batch_size {batch_size} must lie in 1..{MAX_BATCH_SIZE}")
