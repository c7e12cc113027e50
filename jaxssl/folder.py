"""A run folder before training: whether it may be written, whether it is free, and whether a run may begin in it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import jax

from jaxssl.files import check_writable, unused
from jaxssl.lock import Lock, Occupied
from jaxssl.processes import agreed
from jaxssl.runlog import read_rows

log = logging.getLogger("jaxssl")

EARLIER = "earlier"
OCCUPIED = "occupied: "


@contextlib.contextmanager
def occupied(workdir: Path) -> Iterator[Lock]:
    """Holds the lock of a run folder, which is made where there is none.

    Raises:
      ValueError: it cannot be written.
      lock.Occupied: another process trains in it.
    """
    lock = Lock(workdir)

    def take() -> str:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            check_writable(workdir)
        except OSError as error:
            return f"--workdir {workdir}: nothing can be written there ({error.strerror}); give a folder of your own."
        try:
            lock.acquire()
        except Occupied as error:
            return OCCUPIED + str(error)
        return ""

    refused = agreed(take)
    if refused.startswith(OCCUPIED):
        raise Occupied(refused.removeprefix(OCCUPIED))
    if refused:
        raise ValueError(refused)
    try:
        yield lock
    finally:
        if jax.process_index() == 0:
            lock.release()


def check_start(workdir: Path, *, had_checkpoints: bool, every: int) -> None:
    """Before a run begins at step 0: raises ValueError where the folder has rows of a run whose checkpoints are gone.

    A run that was killed before its first checkpoint was complete may begin again.

    Args:
      had_checkpoints: whether there was a folder `checkpoints/` when this process came; a run makes it before any row.
      every: steps between two checkpoints. The second one waits for the first: a run has no more rows than up to there
        unless the first was complete.
    """

    def look() -> str:
        steps = [row["step"] for row in read_rows(workdir / "metrics.jsonl").rows]
        if not steps or (had_checkpoints and max(steps) <= 2 * every):
            return ""
        return (
            f"{workdir} has metrics up to step {max(steps)} and no checkpoint: training would begin at step 0. Put "
            "checkpoints/ back, take another --workdir, or begin again with --restart, which moves what is there to "
            f"{EARLIER}/."
        )

    refused = agreed(look)
    if refused:
        raise ValueError(refused)


def put_away(workdir: Path) -> None:
    """Moves all that a run folder holds, but for its lock, to `earlier/` in it (`earlier.1/`, ... where that is taken)."""

    def move() -> str:
        content = [p for p in workdir.iterdir() if p.name.partition(".")[0] not in ("", "lock", EARLIER)]
        if content:
            aside = unused(workdir / EARLIER)
            aside.mkdir()
            for path in content:
                path.rename(aside / path.name)
            log.warning("--restart: what %s held is now in %s", workdir, aside)
        return ""

    agreed(move)
