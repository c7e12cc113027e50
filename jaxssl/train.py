"""The loop: one for all methods and modalities.

It knows the config, the mesh, that a batch is a pytree whose leaves lead with N, State, update and predict, and
when to log, save, evaluate and stop. Order, fixed:

    restore -> per step: [evaluate] -> [save] -> next batch -> update -> [log]

Everything is decided on the state before the update, so that a resumed run repeats nothing and misses nothing.
Metrics stay on the device until a log step.
"""

import collections
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from jaxssl import frozen, monitor
from jaxssl.changes import record_config
from jaxssl.checkpoint import Checkpoints, has_steps
from jaxssl.core import State
from jaxssl.data.source import Splits
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import Experiment, make_feed, setup
from jaxssl.folder import check_start, occupied, put_away
from jaxssl.runlog import Progress, RunLog, logged_to
from jaxssl.start import started

log = logging.getLogger("jaxssl")

# Steps that the host may run ahead of the device: enough to hide it, few enough to stop soon after a signal.
MAX_IN_FLIGHT = 4
TIME_LIMIT = "max_minutes is over"


class Stopped(RuntimeError):
    """A signal ended the run early, all of it saved; the same command resumes it. `state` is where it stopped."""

    def __init__(self, sentence: str, state: State):
        super().__init__(sentence)
        self.state = state


class _Interrupted(Exception):
    """A signal during an evaluation, which changes nothing and may end anywhere."""


def train(
    config: ConfigDict,
    workdir: str | Path,
    *,
    devices: Sequence[jax.Device] | None = None,
    splits: Splits | None = None,
    allow_changes: bool = False,
    restart: bool = False,
) -> State:
    """Trains until `total_steps`, into a run folder; a folder that holds checkpoints is resumed.

    The folder gets config.json, metrics.jsonl, TensorBoard events, log.txt, checkpoints/ and summary.json.

    Args:
      config: the config of the run, see `config`.
      workdir: the run folder.
      devices: those of the mesh; default all.
      splits: data in memory instead of `config.data`.
      allow_changes: go on although seed, batch size, method or data differ from those that the run was trained with.
      restart: begin at step 0; the content of the folder is moved to `earlier/` in it.

    Returns:
      The last state.

    Raises:
      ValueError, TypeError: an option, file or shape that does not fit, before any compilation.
      lock.Occupied: another process trains in the folder.
      Stopped: SIGTERM or Ctrl-C; all is saved.
      monitor.NonFinite, monitor.Collapse: a metric became NaN or infinite, or an alarm was raised and is to stop the
        run; the last good checkpoint is kept.
      checkpoint.NotSaved: a checkpoint could not be written; the earlier ones are kept.
    """
    workdir = Path(workdir)
    with occupied(workdir) as lock:
        if restart:
            put_away(workdir)
        logged = logged_to(workdir / "log.txt") if jax.process_index() == 0 else contextlib.nullcontext()
        with logged:
            had_checkpoints = (workdir / "checkpoints").is_dir()
            # Networks that never change are read from the run's own copy, whatever becomes of their origin.
            held = frozen.begin(config, workdir, begun=has_steps(workdir), allow_changes=allow_changes)
            experiment = setup(held, devices=devices, splits=splits)
            evaluation = Evaluation(experiment)
            with contextlib.closing(Checkpoints(workdir / "checkpoints", config.checkpoint.keep)) as checkpoints:
                state = checkpoints.restore(experiment.like())
                start = 0 if state is None else int(state.step)
                experiment.check_update()
                resumed = state is not None
                if not resumed:
                    check_start(workdir, had_checkpoints=had_checkpoints, every=config.checkpoint.every)
                    state = started(experiment, config.start)
                    start = int(state.step)
                if start > config.total_steps:
                    origin = workdir if resumed else config.start.run
                    raise ValueError(f"total_steps={config.total_steps}: {origin} is at step {start} already.")
                # Only now: a config that does not fit the checkpoints must not take the place of the one that does.
                record_config(config, workdir, start if resumed else 0, allow_changes=allow_changes)
                if resumed:
                    log.info("resumed from step %d", start)
                elif start:  # a run that goes on from another one has a first checkpoint of its own
                    checkpoints.save(state, start)
                with Session(experiment, evaluation, workdir, checkpoints, start, lock.check) as session:
                    return session.run(state, start)


class Session:
    """One stretch of a run, from a start or a resume to an end or a signal."""

    def __init__(
        self,
        experiment: Experiment,
        evaluation: Evaluation,
        workdir: Path,
        checkpoints: Checkpoints,
        start: int,
        check_lock: Callable[[], None] = lambda: None,
    ):
        config, first = experiment.config, jax.process_index() == 0
        self.experiment, self.config, self.workdir, self.checkpoints = experiment, config, workdir, checkpoints
        self.runlog = RunLog(workdir, start_step=start, tensorboard=config.log.tensorboard, active=first)
        self.progress = Progress(config.total_steps, start, active=first)
        self.monitor = monitor.Monitor(config.log.get("monitor_after", 50))
        self.digest, self.all_finite = jax.jit(monitor.digest), jax.jit(monitor.all_finite)
        self.evaluation, self.check_lock = evaluation, check_lock
        # (step, scalars on the device) since the last look; a look is one transfer.
        self.pending: list[tuple[int, dict]] = []
        self.stop_signal: int | None = None
        self.evaluating = self.interrupted = False

    def __enter__(self):
        self.handlers = {}
        # Only the main thread may set handlers; elsewhere (a notebook's worker, say) signals keep their meaning.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGTERM, signal.SIGINT):
                self.handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_):
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.progress.close()
        self.runlog.close()

    def _on_signal(self, number, _frame):
        if self.stop_signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop_signal = number
        # Several processes must stop at the same place; they agree on it between two steps.
        if self.evaluating and jax.process_count() == 1:
            self.evaluating = False
            raise _Interrupted
        log.info("%s: stopping after this step", signal.Signals(number).name)

    @contextlib.contextmanager
    def _interruptible(self):
        """A signal ends the block at once."""
        self.evaluating = self.stop_signal is None
        try:
            yield
        except _Interrupted:
            self.interrupted = True
            log.info("%s: the evaluation is left to the resumed run", signal.Signals(self.stop_signal).name)
        finally:
            self.evaluating = False

    def run(self, state: State, start: int) -> State:
        """The loop itself. Raises Stopped at a signal, when all is saved."""
        config, total = self.config, self.config.total_steps
        feed = make_feed(self.experiment, start)
        in_flight, began = collections.deque(), time.monotonic()
        self.clock, self.clock_step = None, start
        for step in range(start, total + 1):
            stopping = self._stopping(step, began)
            due = config.evaluate.every and step % config.evaluate.every == 0 and 0 < step < total
            # A signal leaves the evaluation of its step to the resumed run.
            if due and not stopping and step not in self.runlog.evaluated:
                with self._off_the_clock(), self._interruptible():
                    self._evaluate(state, step)
                stopping = self._stopping(step, began)
            if step > start and (step % config.checkpoint.every == 0 or step == total or stopping):
                with self._off_the_clock():
                    self.check_finite(state)
                    self.check_lock()
                    self.checkpoints.save(state, step)
            if step == total or stopping:
                break
            batch = next(feed)
            state, metrics = self.experiment.update(state, batch)
            scalars, watched = monitor.split(metrics)
            self.pending.append((step + 1, scalars))
            in_flight.append(scalars["loss"])
            if len(in_flight) > MAX_IN_FLIGHT:
                in_flight.popleft().block_until_ready()
            if (step + 1) % config.log.every == 0 or step + 1 == total:
                self._log(step + 1, watched)
            if self.clock is None:
                jax.block_until_ready(scalars)
                self.clock, self.clock_step = time.monotonic(), step + 1
            self.progress.advance(step + 1)
        self.checkpoints.wait()
        self.progress.close()
        if stopping:
            log.info("stopped at step %d: %s; the same command resumes", step, stopping)
        stopped = self._agreed_reason("") not in ("", TIME_LIMIT)
        if config.evaluate.final and not stopped and (step == total or stopping == TIME_LIMIT):
            with self._interruptible():
                self.evaluation.final(state, self.workdir)
            stopped = self.interrupted
        if stopped and (step < total or config.evaluate.final):
            raise Stopped(f"stopped at step {step} of {total}; the same command resumes.", state)
        return state

    def _stopping(self, step: int, began: float) -> str:
        """Why to stop before this step, or ''; all processes come to the same answer, at log steps."""
        if jax.process_count() > 1 and step % self.config.log.every:
            return ""
        late = self.config.max_minutes and time.monotonic() - began > 60 * self.config.max_minutes
        return self._agreed_reason(TIME_LIMIT if late else "")

    def _agreed_reason(self, reason: str) -> str:
        """The signal that any process got, else the reason of any, else ''."""
        reason = reason if self.stop_signal is None else signal.Signals(self.stop_signal).name
        if jax.process_count() == 1:
            return reason
        from jax.experimental import multihost_utils

        reasons = ("", TIME_LIMIT, "SIGINT", "SIGTERM")
        return reasons[int(multihost_utils.process_allgather(jax.numpy.int32(reasons.index(reason))).max())]

    def check_finite(self, state: State | None = None) -> list[dict[str, float]]:
        """Fetches the pending metrics; raises NonFinite naming the first step and metric that is not finite.

        Args:
          state: looked at too, before it is saved; an update can overflow though its loss was finite.
        """
        rows = jax.device_get([scalars for _, scalars in self.pending])
        found = monitor.first_non_finite([step for step, _ in self.pending], rows)
        self.pending = []
        if found is None and state is not None and not self.all_finite(state.params):
            found = int(state.step), "params"
        if found is None:
            return rows
        step, name = found
        self.checkpoints.wait()
        kept = self.checkpoints.steps()
        raise monitor.NonFinite(
            f"'{name}' is not finite at step {step}: stopped. "
            + (f"The checkpoint of step {kept[-1]} is kept." if kept else "No checkpoint had been written yet.")
            + " Usual remedies: a lower learning rate, a longer warm-up, optim.clip_norm, float32 instead of bfloat16."
        )

    def _log(self, step: int, watched: dict) -> None:
        rows = self.check_finite()
        times, now = {}, time.monotonic()
        if self.clock is not None and step > self.clock_step:
            seconds, steps = now - self.clock, step - self.clock_step
            times = {
                "time/step_ms": 1e3 * seconds / steps,
                "time/images_per_s": self.config.batch_size * steps / seconds,
            }
        digested = jax.device_get(self.digest(watched)) if self.config.log.monitor else {}
        numbers = {k: float(v) for k, v in {**rows[-1], **digested}.items()}
        values = {**{f"train/{k}": v for k, v in numbers.items()}, **times}
        self.runlog.write(step, values)
        left = {"time/left_s": times["time/step_ms"] / 1e3 * (self.config.total_steps - step)} if times else {}
        self.progress.report(step, {**values, **left})
        if self.config.log.monitor:
            for sentence in self.monitor.check(step, numbers, monitor.sizes(watched)):
                log.warning("step %d: %s", step, sentence)
                if self.config.log.stop_on_collapse:
                    raise monitor.Collapse(f"step {step}: {sentence} (log.stop_on_collapse)")
        # Speed is counted between log steps, without what the log step itself takes, nor the first one's compilation.
        self.clock, self.clock_step = time.monotonic(), step

    @contextlib.contextmanager
    def _off_the_clock(self):
        began = time.monotonic()
        yield
        if self.clock is not None:
            self.clock += time.monotonic() - began

    def _evaluate(self, state: State, step: int) -> None:
        results = self.evaluation.run(state, names=self.config.evaluate.during)
        self.runlog.write(step, results)
        log.info("step %d: %s", step, "  ".join(f"{k} {v:.4g}" for k, v in results.items()))
