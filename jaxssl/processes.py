"""Several processes of one run: how they find each other, and how they end when one is lost."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping

from jaxssl.names import shortened

log = logging.getLogger("jaxssl")

# Seconds without a heartbeat after which a process counts as lost. A process that computes sends heartbeats; a frozen
# one does not.
HEARTBEAT_S = 60
# Exit status of a command that stopped and resumes when started again: by a signal, or because another process is lost.
RESUME = 75


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the processes of one run; before anything else touches the devices.

    Args:
      coordinator: host:port of process 0, with the other two; 'auto' asks the cluster (SLURM, a TPU pod, GKE, Open MPI)
        for all three. Without any of them, a cluster that starts several processes is detected.

    Raises:
      ValueError: naming the arguments that do not go together.
    """
    if coordinator == "auto" or (coordinator is None and num_processes is None and process_id is None):
        found = cluster(os.environ)
        if coordinator is None and found is None:
            return
        if num_processes is not None or process_id is not None:
            raise ValueError(
                "--coordinator auto takes --num-processes and --process-id from the cluster; leave them out."
            )
        coordinator = None
    else:
        if None in (coordinator, num_processes, process_id):
            raise ValueError("--coordinator, --num-processes and --process-id go together; give all three or none.")
        if not 0 <= process_id < num_processes:
            raise ValueError(f"--process-id {process_id}: must lie in 0 .. {num_processes - 1}.")
    import jax

    options = dict(heartbeat_timeout_seconds=HEARTBEAT_S)
    jax.distributed.initialize(coordinator, num_processes, process_id, **options)


def cluster(environment: Mapping[str, str]) -> str | None:
    """The launcher that started this process as one of several: 'SLURM', 'Open MPI', 'TPU pod', or None.

    The variables that are looked at exist only in a job step (srun, mpirun, a pod's worker), not in the shell or the
    batch script around it, which would wait for processes that nobody starts.
    """
    several = lambda name: environment.get(name, "").isdigit() and int(environment[name]) > 1
    if several("SLURM_STEP_NUM_TASKS"):
        return "SLURM"
    if several("OMPI_COMM_WORLD_SIZE"):
        return "Open MPI"
    if "," in environment.get("TPU_WORKER_HOSTNAMES", ""):
        return "TPU pod"
    return None


@contextlib.contextmanager
def stopped_by_others() -> Iterator[None]:
    """Around a run of several processes: says so and ends this process when the computation fails with another one."""
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        text = (
            f"process {jax.process_index()} of {jax.process_count()} stops: the computation failed, most likely because"
            " another process of this run is gone. The same command, started again for all of them, resumes from the"
            f" newest checkpoint. ({shortened(str(error).splitlines()[0], 300)})"
        )
        log.error("%s", text)
        print(f"jaxssl: {text}", file=sys.stderr, flush=True)
        # An orderly exit would wait for the process that is gone.
        os._exit(RESUME)


def agreed(look: Callable[[], str]) -> str:
    """What `look` says on process 0, for all processes, so that they decide alike: text of at most 1,000 characters."""
    import jax

    if jax.process_count() == 1:
        return look()
    import numpy as np
    from jax.experimental import multihost_utils

    text = shortened(look(), 1000).encode()[:4000] if jax.process_index() == 0 else b""
    block = np.frombuffer(text.ljust(4000, b"\0"), np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(block))).rstrip(b"\0").decode(errors="replace")
