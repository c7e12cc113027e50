"""Checkpoints by Orbax: asynchronous, renamed into place when complete, so that a kill never harms the last good one."""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxssl.core import State

log = logging.getLogger("jaxssl")


def without_frozen(state: State) -> State:
    """The state as it is saved: frozen networks are loaded again by `init`."""
    if isinstance(state.memory, dict) and "frozen" in state.memory:
        return state._replace(memory={k: v for k, v in state.memory.items() if k != "frozen"})
    return state


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: str | Path, keep: int = 2, read_only: bool = False):
        self.folder, self.read_only = Path(folder).absolute(), read_only
        if read_only and not self.folder.is_dir():
            raise ValueError(f"{self.folder} does not exist: not a run folder, or nothing was saved in it yet.")
        # A reader must not sweep away what a run beside it is just writing.
        own = dict(read_only=True) if read_only else dict(max_to_keep=keep, cleanup_tmp_directories=True)
        options = ocp.CheckpointManagerOptions(**own)
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Steps that can be restored, in order."""
        return sorted(self.manager.all_steps())

    def save(self, state: State, step: int) -> None:
        """Starts saving; the caller goes on at once."""
        if step not in self.manager.all_steps():
            self.manager.save(step, args=ocp.args.StandardSave(without_frozen(state)._asdict()), force=True)

    def restore(self, like: State, step: int | None = None) -> State | None:
        """The newest checkpoint that can be read (or that of `step`) in the shapes and shardings of `like`.

        Returns None where there is none. A damaged newest checkpoint is named in the log and the one before it taken.
        Raises ValueError when a checkpoint does not fit the config or, for all, when none can be read.
        """
        steps = self.steps() if step is None else [step]
        if step is not None and step not in self.steps():
            raise ValueError(f"{self.folder} holds no checkpoint of step {step}, only of {self.steps()}.")
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), without_frozen(like)._asdict()
        )
        for candidate in reversed(steps):
            try:
                tree = self.manager.restore(candidate, args=ocp.args.StandardRestore(abstract))
            except Exception as error:  # Orbax raises many kinds; every one means: not this checkpoint
                log.warning(
                    "checkpoint of step %d in %s cannot be read: %s", candidate, self.folder, _first_line(error)
                )
                last = error
                continue
            state = State(**tree)
            if not self.read_only:
                self._forget_after(candidate)
            if isinstance(like.memory, dict) and "frozen" in like.memory:
                state = state._replace(memory={**state.memory, "frozen": like.memory["frozen"]})
            return state
        if steps:
            raise ValueError(
                f"no checkpoint in {self.folder} can be read into this config (steps {steps}): {_first_line(last)}"
                " Take the config that it was trained with, or another --workdir."
            )
        return None

    def _forget_after(self, step: int) -> None:
        """Damaged checkpoints stand in the way of the run that passes their step again."""
        for later in [s for s in self.steps() if s > step]:
            self.manager.delete(later)

    def wait(self) -> None:
        """Until what was begun is on disk."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets go of the folder."""
        self.manager.wait_until_finished()
        self.manager.close()


def _first_line(error: Any) -> str:
    # The first sentence says what is wrong; the next ones advise on options of Orbax.
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.split(". ")[0].rstrip(".:")[:500] + "."
