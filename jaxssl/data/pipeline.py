"""Batches on the host: the endless training stream (tf.data), finite evaluation batches (no TensorFlow)."""

import atexit
import collections
import concurrent.futures
import os
import weakref
from collections.abc import Iterator

import numpy as np

from jaxssl.data.draw import draw_arrays, draw_ids
from jaxssl.data.index_stream import STEP_BITS, process_slice
from jaxssl.data.load_tensorflow import load_tensorflow
from jaxssl.data.source import Source

ROWS_PER_TASK = 8
BATCHES_AHEAD = 2

_open_streams = weakref.WeakSet()


def stream(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 2,
    num_workers: int | None = None,
) -> Iterator[dict]:
    """This process's part of the batches of steps start_step, start_step + 1, ... without end.

    batch_size counts the rows of the global batch; each batch is a dict of arrays that lead with
    batch_size / process_count. The examples are those of draw.draw_ids, so that a stream started at
    step k equals one that went on to step k.

    Args:
      source: the examples.
      seed: of the order of the examples.
      batch_size: rows of the global batch.
      start_step: the first step.
      process_index, process_count: of this process, and of all of them.
      prefetch: batches kept ready.
      num_workers: threads that read and decode; all processors when None.

    Raises:
      ImportError: without TensorFlow.
      ValueError: an option out of range.
      What source.fetch raises, unchanged.
    """
    step_ids = _step_ids(source, seed, batch_size, process_index, process_count)
    step_ids(start_step)  # bad options are reported here, and not by the first batch
    tf = load_tensorflow("data.pipeline.stream")
    num_workers = num_workers or _processors()
    empty = source.fetch(np.zeros(0, np.int64))
    keys = sorted(empty)
    types = [tf.as_dtype(empty[key].dtype) for key in keys]
    failures = []

    def guarded(function):
        def call(argument):
            try:
                return function(argument)
            except Exception as error:
                failures.append(error)
                raise

        return call

    def rows(ids):
        batch = source.fetch(ids)
        return [batch[key] for key in keys]

    plain = tf.autograph.experimental.do_not_convert

    def fetch(function):
        call = guarded(function)
        return plain(lambda ids: dict(zip(keys, tf.numpy_function(call, [ids], types, stateful=False))))

    here = batch_size // process_count
    # Several rows a task: to go in and out of Python costs as much as a fifth of decoding a photograph.
    together = max(n for n in range(1, ROWS_PER_TASK + 1) if here % n == 0)

    def ids_of_step(step):
        ids = tf.numpy_function(guarded(step_ids), [step], tf.int64, stateful=False)
        return tf.ensure_shape(ids, [here])

    def merged(batch):
        return {key: tf.reshape(value, tf.concat([[here], tf.shape(value)[2:]], 0)) for key, value in batch.items()}

    data = tf.data.Dataset.range(start_step, 2**STEP_BITS - 1).map(plain(ids_of_step))
    if source.arrays is not None:
        data = data.map(fetch(rows))
    else:
        data = data.map(lambda ids: tf.reshape(ids, [-1, together])).unbatch()
        data = data.map(fetch(rows), num_parallel_calls=num_workers, deterministic=True)
        data = data.batch(here // together, drop_remainder=True).map(plain(merged))
    options = tf.data.Options()
    options.threading.private_threadpool_size = num_workers
    options.threading.max_intra_op_parallelism = 1
    batches = _numpy_batches(tf, data.prefetch(prefetch).with_options(options), failures)
    _open_streams.add(batches)
    return batches


@atexit.register
def _close_open_streams():
    """Without this a program that ends in the middle of a stream never ends: TensorFlow waits for its
    threads, and they wait for an interpreter that is shutting down."""
    for batches in list(_open_streams):
        try:
            batches.close()
        except ValueError:
            pass  # another thread is inside the generator


def _numpy_batches(tf, data, failures):
    try:
        yield from data.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow wraps an exception of Python code into its own, with the traceback inside the message
        raise (failures[0] if failures else error) from None


def _step_ids(source, seed, batch_size, process_index, process_count):
    arrays = draw_arrays(source)

    def step_ids(step):
        ids = draw_ids(source, arrays, seed, step, batch_size=batch_size)
        return process_slice(ids, process_index, process_count)

    return step_ids


def evaluation_batches(
    source: Source, *, batch_size: int, process_index: int = 0, process_count: int = 1, num_workers: int | None = None
) -> Iterator[dict]:
    """Every example once, in order, in batches of one shape: this process's part of each, with `_mask` bool.

    batch_size counts the rows of the global batch. The last batch is filled up with rows of zeros, label,
    target and index -1, and _mask False; an unreadable image has _mask False too (Source.fetch with substitute=False).
    All processes get the same number of batches.

    Args:
      source: the examples.
      batch_size: rows of the global batch.
      process_index, process_count: of this process, and of all of them.
      num_workers: threads that read and decode; all processors when None.

    Raises:
      ValueError: batch_size cannot be divided among the processes.
      What source.fetch raises, unchanged.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be at least 1.")
    process_slice(np.arange(batch_size), process_index, process_count)
    num_workers = num_workers or _processors()
    return _evaluation_batches(source, batch_size, process_index, process_count, num_workers)


def _evaluation_batches(source, batch_size, process_index, process_count, num_workers):
    pool = concurrent.futures.ThreadPoolExecutor(num_workers)
    waiting = collections.deque()

    def begin(start):
        ids = process_slice(np.arange(start, start + batch_size), process_index, process_count)
        rows = len(ids) if source.arrays is not None else ROWS_PER_TASK
        tasks = np.split(ids, range(rows, len(ids), rows))
        waiting.append([pool.submit(_padded_rows, source, ids) for ids in tasks])

    def finished():
        parts = [task.result() for task in waiting.popleft()]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    try:
        for start in range(0, source.size, batch_size):
            begin(start)
            if len(waiting) > BATCHES_AHEAD:
                yield finished()
        while waiting:
            yield finished()
    finally:
        pool.shutdown(cancel_futures=True)


def _padded_rows(source, ids):
    batch = source.fetch(ids[ids < source.size], substitute=False)
    missing = len(ids) - len(batch["_mask"])
    filling = {"label": -1, "index": -1, "target": -1}

    def padded(key, value):
        padding = np.full((missing, *value.shape[1:]), filling.get(key, 0), value.dtype)
        return np.concatenate([value, padding])

    return {key: padded(key, value) for key, value in batch.items()}


def _processors():
    """Processors this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
