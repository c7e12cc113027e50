"""Checkpoints by Orbax: asynchronous, renamed into place when complete, with a digest of every file.

A kill never harms the last good checkpoint, a flipped bit is noticed, and nothing is deleted before its step has been
saved again: an unusable checkpoint is set aside as `30.damaged` (its digests disagree), `30.incomplete` (files are
missing) or `30.unreadable` (it could not be read).
"""

import contextlib
import functools
import hashlib
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxssl.core import State, with_frozen, without_frozen
from jaxssl.files import unused, write_whole
from jaxssl.names import shortened
from jaxssl.processes import agreed

log = logging.getLogger("jaxssl")

# A reading that fails is tried again after these seconds: an error may pass.
WAITS_S = (0.2, 1.0)
DIGESTS = "digests.json"
# Files that Orbax has written in every complete checkpoint.
COMPLETE = ("_CHECKPOINT_METADATA", "default/_METADATA", "default/manifest.ocdbt")


class NotSaved(RuntimeError):
    """A checkpoint could not be written; the earlier ones are kept."""


def has_steps(workdir: str | Path) -> bool:
    """Whether a run folder holds a checkpoint, whole or not."""
    return any(path.name.isdigit() for path in (Path(workdir) / "checkpoints").glob("*"))


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: str | Path, keep: int = 2, read_only: bool = False):
        self.folder, self.read_only = Path(folder).absolute(), read_only
        if read_only and not self.folder.is_dir():
            raise ValueError(f"{self.folder} does not exist: not a run folder, or nothing was saved in it yet.")
        # A reader must not sweep away a checkpoint that a run beside it is writing.
        own = dict(read_only=True) if read_only else dict(max_to_keep=keep, cleanup_tmp_directories=True)
        # Called when all files of a step are written, before the step gets its name.
        own |= {} if read_only else {"async_options": ocp.AsyncOptions(post_finalization_callback=self._write_digests)}
        self.saving: int | None = None
        if not read_only:
            _hear_once()
        with _quiet():
            self.manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(**own),
                item_handlers=ocp.StandardCheckpointHandler(),
            )

    def steps(self) -> list[int]:
        """Steps that have a folder, in order."""
        return sorted(self.manager.all_steps())

    def save(self, state: State, step: int) -> None:
        """Starts saving; the caller goes on at once. Raises NotSaved where this or the save before it failed."""
        if step in self.manager.all_steps():
            return
        with self._saved():
            # Orbax waits for the save before: only then is its step another one's.
            self.manager.wait_until_finished()
            self._clear_aside()
            self.saving = step
            self.manager.save(step, args=ocp.args.StandardSave(_saved_part(state)), force=True)

    def restore(self, like: State, step: int | None = None) -> State | None:
        """The newest checkpoint that can be used (or that of `step`) in the shapes and shardings of `like`.

        Returns None where there is none. One that is damaged, incomplete or not readable is named in the log, the one
        before it is taken, and the other is set aside.

        Raises:
          ValueError: when a checkpoint does not fit the config or, for all, when none can be read.
        """
        steps = self.steps() if step is None else [step]
        if step is not None and step not in self.steps():
            raise ValueError(f"{self.folder} holds no checkpoint of step {step}, only of {self.steps()}.")
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _saved_part(like)
        )
        passed_over: list[tuple[int, str]] = []
        for candidate in reversed(steps):
            tree, kind, reason = self._read(candidate, abstract)
            if tree is None:
                log.warning("checkpoint of step %d in %s is %s: %s", candidate, self.folder, kind, reason)
                passed_over.append((candidate, kind))
                continue
            for later, why in passed_over:
                self._set_aside(later, why)
            state = State(**tree)
            return state._replace(memory=with_frozen(state.memory, like.memory))
        if steps:
            raise ValueError(
                f"no checkpoint in {self.folder} can be read into this config (steps {steps}): {reason}"
                " Take the config that it was trained with, or another --workdir"
                + (", or begin again with --restart." if kind != "unreadable" else ".")
            )
        return None

    def arrays(self, step: int | None = None) -> tuple[int, dict[str, Any]]:
        """(step, tree) of the newest checkpoint that can be used, or of that of `step`: NumPy arrays, whatever the config.

        Raises:
          ValueError: where there is none.
        """
        steps = self.steps() if step is None else [step]
        if not set(steps) & set(self.steps()):
            raise ValueError(f"{self.folder} holds no checkpoint{f' of step {step}' * (step is not None)}.")
        one = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        for candidate in reversed(steps):
            with _quiet():
                stored = self.manager.item_metadata(candidate).tree
            like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(tuple(x.shape), x.dtype, sharding=one), stored)
            tree, kind, reason = self._read(candidate, like)
            if tree is not None:
                return candidate, jax.tree.map(np.asarray, tree)
            log.warning("checkpoint of step %d in %s is %s: %s", candidate, self.folder, kind, reason)
        raise ValueError(f"no checkpoint in {self.folder} can be read: {reason}")

    def wait(self) -> None:
        """Waits until every save is on disk. Raises NotSaved where it could not be written."""
        with self._saved():
            self.manager.wait_until_finished()
        self._clear_aside()

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        try:
            self.wait()
        finally:
            with _quiet(), contextlib.suppress(Exception):  # what failed has been said by `wait`
                self.manager.close()

    def _read(self, step: int, abstract) -> tuple[Any, str, str]:
        """(tree, '', '') or (None, kind of failure, reason); all processes come to the same answer."""
        kind, _, reason = agreed(lambda: ": ".join(_trouble(self.folder / str(step)))).partition(": ")
        if kind:
            return None, kind, reason
        misfit = self._misfit(step, abstract)
        if misfit:
            return None, "unreadable", misfit
        for wait in (*WAITS_S, None):
            try:
                with _quiet():
                    tree = self.manager.restore(step, args=ocp.args.StandardRestore(self._as_stored(step, abstract)))
                return {**tree, "memory": _like(abstract["memory"], tree["memory"])}, "", ""
            except Exception as error:  # Orbax raises many kinds; every one means: not this checkpoint
                reason = _first_line(error)
                if wait is None or jax.process_count() > 1:  # several processes must not try in turns
                    return None, "unreadable", reason
                time.sleep(wait)
        raise AssertionError("the last attempt returns")

    def _misfit(self, step: int, abstract) -> str:
        """The first array that this config wants in another shape, or ''; what cannot be told is left to reading."""
        try:
            with _quiet():
                saved = self.manager.item_metadata(step)
            saved = {_path(p): tuple(x.shape) for p, x in jax.tree_util.tree_leaves_with_path(saved.tree)}
        except Exception:
            return ""
        wanted = {_path(p): tuple(x.shape) for p, x in jax.tree_util.tree_leaves_with_path(abstract)}
        for path in sorted(saved.keys() | wanted.keys()):
            there, here = saved.get(path, "missing"), wanted.get(path, "missing")
            # What an optimiser leaves empty may be listed or not; parameters are always listed.
            compared = path.startswith("params/") or "missing" not in (there, here)
            if compared and there != here:
                return f"{path} is {_shape(there)} in the checkpoint and {_shape(here)} in this config."
        return ""

    def _as_stored(self, step: int, abstract) -> dict[str, Any]:
        """The tree to ask for, with the empty dicts of the memory that is stored: an earlier version kept others."""
        try:
            with _quiet():
                stored = self.manager.item_metadata(step).tree["memory"]
        except Exception:
            return abstract
        return {**abstract, "memory": _with_empty(abstract["memory"], stored)}

    def _set_aside(self, step: int, kind: str) -> None:
        if self.read_only:
            return
        if jax.process_index() == 0:
            aside = unused(self.folder / f"{step}.{kind}")
            (self.folder / str(step)).rename(aside)
            log.warning("checkpoint of step %d is set aside as %s", step, aside.name)
        _meet("set_aside")
        with _quiet():
            self.manager.reload()

    def _clear_aside(self) -> None:
        """Deletes what was set aside once its step has been saved again."""
        if self.read_only or jax.process_index() != 0:
            return
        saved = set(self.manager.all_steps())
        for folder in self.folder.glob("*.*"):
            step, _, kind = folder.name.partition(".")
            aside = kind.split(".")[0] in ("damaged", "incomplete", "unreadable")
            if aside and step.isdigit() and int(step) in saved and (self.folder / step / DIGESTS).is_file():
                shutil.rmtree(folder, ignore_errors=True)

    def _write_digests(self) -> None:
        """Beside the finished files of the step that is being saved, before it gets its name."""
        fresh = max(self.folder.glob(f"{self.saving}.orbax-checkpoint-tmp*"), key=lambda p: p.stat().st_mtime)
        write_whole(fresh / DIGESTS, json.dumps(_digests(fresh), indent=0, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def _saved(self) -> Iterator[None]:
        try:
            with _quiet():
                yield
        except Exception as error:
            step, self.saving = self.saving, None
            kept = [s for s in self._listed() if s != step]
            raise NotSaved(
                f"the checkpoint of step {step} could not be written to {self.folder}: {_cause(error)}"
                + (f" The checkpoint of step {kept[-1]} is kept." if kept else " No checkpoint had been written yet.")
            ) from None

    def _listed(self) -> list[int]:
        return sorted(int(p.name) for p in self.folder.glob("*") if p.name.isdigit())


def _with_empty(ours: Any, stored: Any) -> Any:
    """`ours` with those empty dicts that are stored, and no others."""
    if not isinstance(ours, dict) or not isinstance(stored, dict):
        return ours
    full = {k: _with_empty(v, stored.get(k)) for k, v in ours.items() if k in stored or jax.tree.leaves(v)}
    return full | {k: v for k, v in stored.items() if k not in ours and not jax.tree.leaves(v)}


def _like(ours: Any, restored: Any) -> Any:
    """The restored tree, with the empty dicts of `ours`."""
    if not isinstance(ours, dict):
        return restored
    return {k: _like(v, restored.get(k, {})) for k, v in ours.items()}


def _saved_part(state: State) -> dict[str, Any]:
    return state._replace(memory=without_frozen(state.memory))._asdict()


def _digests(folder: Path) -> dict[str, str]:
    """{file below `folder/default`: sha256 of its bytes}."""
    files = sorted(p for p in (folder / "default").rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): _sha256(p) for p in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _trouble(folder: Path) -> tuple[str, str]:
    """('', '') of a checkpoint whose files are as they were written, else (kind, sentence with the file)."""
    for wait in (*WAITS_S, None):
        try:
            return _compare(folder)
        except OSError as error:
            if wait is None:
                return "unreadable", f"{error}."
            time.sleep(wait)
    raise AssertionError("the last attempt returns")


def _compare(folder: Path) -> tuple[str, str]:
    missing = [name for name in COMPLETE if not (folder / name).is_file()]
    if missing:
        return "incomplete", f"{folder / missing[0]} is missing."
    file = folder / DIGESTS
    if not file.is_file():
        return "", ""  # written by a version without digests
    try:
        wanted = json.loads(file.read_bytes())
        wanted = {str(k): str(v) for k, v in wanted.items()}
    except (ValueError, AttributeError):
        return "damaged", f"{file} cannot be read."
    for name, digest in wanted.items():
        if not (folder / name).is_file():
            return "incomplete", f"{folder / name} is missing."
        if _sha256(folder / name) != digest:
            return "damaged", f"{folder / name} is not what was written."
    return "", ""


def _meet(name: str) -> None:
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Orbax's own messages, for ours say the same in one line."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@functools.cache
def _hear_once() -> None:
    """Keeps the tracebacks of Orbax's writing threads off the console: their errors reach `save` and `wait`, in one line.

    Where one array cannot be written, on a full disk say, those that fail after it would print theirs without end.
    """

    def own(traceback) -> bool:
        while traceback is not None:
            if "orbax" in Path(traceback.tb_frame.f_code.co_filename).parts:
                return True
            traceback = traceback.tb_next
        return False

    of_main, of_threads, of_callbacks = sys.excepthook, threading.excepthook, sys.unraisablehook
    late = lambda error: isinstance(error, RuntimeError) and str(error) == "Event loop is closed"

    def main_hook(kind, error, traceback):
        if not late(error):
            of_main(kind, error, traceback)

    def thread_hook(args):
        if not own(args.exc_traceback):
            of_threads(args)

    def callback_hook(args):
        if not late(args.exc_value):
            of_callbacks(args)

    def not_own(record):
        return not (record.exc_info and own(record.exc_info[2]))

    sys.excepthook, threading.excepthook, sys.unraisablehook = main_hook, thread_hook, callback_hook
    for name in ("asyncio", "absl"):
        logging.getLogger(name).addFilter(not_own)


def _path(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _shape(shape) -> str:
    return shape if isinstance(shape, str) else str(list(shape))


def _cause(error: BaseException) -> str:
    """The first line of the error at the root."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return _first_line(error)


def _first_line(error: Any) -> str:
    # The first sentence says what is wrong; the next ones advise on options of Orbax.
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return shortened(line.split(" [")[0].split(". ")[0].rstrip(".: "), 500) + "."
