"""The logs of a run: metrics.jsonl, TensorBoard events, log.txt and a progress bar."""

import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import rich.console
import rich.progress

from jaxssl.files import to_json, whole_file
from jaxssl.names import shown

log = logging.getLogger("jaxssl")


class _Line(logging.Formatter):
    """One line a message: what a file's name could do to a terminal is written out."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shown(super().formatMessage(record))


FORMAT = _Line("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")


def setup_logging(quiet: bool = False) -> None:
    """Messages of the command line to the console."""
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    if not quiet:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(FORMAT)
        log.addHandler(handler)


class _File(logging.FileHandler):
    """A log on a disk that may be full: the run does not end for it, and says so where it fails itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextlib.contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Messages of the block go to a file too, and the sentence of an error that ends it."""
    handler, level = _File(file, encoding="utf-8", errors="backslashreplace"), log.level
    handler.setFormatter(FORMAT)
    log.addHandler(handler)
    log.setLevel(min(log.getEffectiveLevel(), logging.INFO))
    try:
        yield
    except Exception as error:
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
        raise
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        with contextlib.suppress(OSError):  # a full disk has been told of
            handler.close()


class Rows(NamedTuple):
    """metrics.jsonl: its rows, the line of each, and the lines that are none."""

    rows: list[dict]
    lines: list[bytes]
    broken: list[bytes]


def read_rows(path: Path) -> Rows:
    """All of metrics.jsonl; a row is an object with a whole number `step`. Raises OSError."""
    found = Rows([], [], [])
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode())
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and type(row.get("step")) is int:
            found.rows.append(row)
            found.lines.append(line)
        else:
            found.broken.append(line)
    return found


def read_metrics(path: Path) -> list[dict]:
    """The rows of metrics.jsonl; lines that cannot be read are left out, as one that a kill cut short."""
    return read_rows(path).rows


class RunLog:
    """Writers of one run; only process 0 writes.

    Rows of steps after the one that the run goes on from go to metrics.lost.jsonl: they will be logged again, so that a
    resumed run reads like one that never stopped. Lines that cannot be read go to metrics.unreadable.jsonl.
    """

    def __init__(self, workdir: Path, *, start_step: int, tensorboard: bool, active: bool):
        self.path, self.active, self.events = workdir / "metrics.jsonl", active, None
        rows, lines, broken = read_rows(self.path)
        kept = [row["step"] <= start_step for row in rows]
        self.evaluated = {
            r["step"] for r, keep in zip(rows, kept) if keep and not any(k.startswith("train/") for k in r)
        }
        if not active:
            return
        lost = [line for line, keep in zip(lines, kept) if not keep]
        if lost:
            _append(workdir / "metrics.lost.jsonl", lost)
            log.info("%s of steps after %d moved to metrics.lost.jsonl", _count(lost), start_step)
        if broken:
            _append(workdir / "metrics.unreadable.jsonl", broken)
            log.warning("%s: %s that cannot be read moved to metrics.unreadable.jsonl", self.path, _count(broken))
        with whole_file(self.path) as fresh:
            fresh.write(b"".join(line + b"\n" for line, keep in zip(lines, kept) if keep))
        self.file = self.path.open("a", encoding="utf-8")
        if tensorboard:
            self.events = _Events(workdir, first_step=start_step + 1 if start_step else None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: `step` and flat names; values that are not finite become null, with a warning."""
        if not self.active:
            return
        values = {k: float(v) for k, v in values.items()}
        odd = [k for k, v in values.items() if not math.isfinite(v)]
        if odd:
            log.warning("step %d: %s not finite; null in metrics.jsonl", step, ", ".join(odd))
        try:
            self.file.write(to_json({"step": step, **values}) + "\n")
            self.file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        if self.events is not None:
            try:
                self.events.write(step, values)
            except OSError as error:
                log.warning("no TensorBoard events from step %d on: %s", step, error)
                self.events = None

    def close(self) -> None:
        """Flushes and closes the files."""
        with contextlib.suppress(OSError):  # `write` has told of it
            if self.events is not None:
                self.events.close()
            if self.active:
                self.file.close()


class _Events:
    """TensorBoard's events, written by this thread: the usual writer waits for ever once its own has met a full disk.

    first_step: events of an earlier session from there on are hidden.
    """

    def __init__(self, workdir: Path, first_step: int | None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self.event, self.summary = event_pb2.Event, summary_pb2.Summary
        self.writer, self.flushed = EventsWriter(str(workdir / "events")), 0.0
        if first_step is not None:
            status = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self.writer.write_event(self.event(step=first_step, wall_time=time.time(), session_log=status))

    def write(self, step: int, values: dict[str, float]) -> None:
        summary = self.summary(value=[self.summary.Value(tag=k, simple_value=v) for k, v in values.items()])
        self.writer.write_event(self.event(step=step, wall_time=time.time(), summary=summary))
        if time.monotonic() - self.flushed > 10:
            self.writer.flush()
            self.flushed = time.monotonic()

    def close(self) -> None:
        self.writer.close()


def _append(file: Path, lines: list[bytes]) -> None:
    with file.open("ab") as out:
        out.write(b"".join(line + b"\n" for line in lines))


def _count(lines: list[bytes]) -> str:
    return f"{len(lines)} line{'s' * (len(lines) > 1)}"


class Progress:
    """A live bar on a terminal, a line a log step elsewhere: step, images/s, loss, effective rank, time left."""

    def __init__(self, total_steps: int, start_step: int, active: bool):
        self.total, self.active, self.live = total_steps, active, None
        if active and sys.stderr.isatty():
            columns = (
                rich.progress.TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                rich.progress.BarColumn(bar_width=None),
                rich.progress.TextColumn("{task.description}"),
                rich.progress.TimeRemainingColumn(),
            )
            self.live = rich.progress.Progress(*columns, console=rich.console.Console(stderr=True))
            self.live.start()
            self.task = self.live.add_task("compiling", total=total_steps, completed=start_step)

    def advance(self, step: int) -> None:
        """Moves the bar."""
        if self.live is not None:
            self.live.update(self.task, completed=step)

    def report(self, step: int, values: dict[str, float]) -> None:
        """Shows the newest figures."""
        parts = [f"{values['time/images_per_s']:.0f} images/s"] if "time/images_per_s" in values else []
        parts += [f"loss {values['train/loss']:.4f}"] if "train/loss" in values else []
        parts += [f"rank {values['train/feature_rank']:.1f}"] if "train/feature_rank" in values else []
        if self.live is not None:
            self.live.update(self.task, completed=step, description="  ".join(parts))
        elif self.active:
            left = values.get("time/left_s")
            parts += [f"{left / 60:.1f} min left"] if left is not None else []
            print(f"step {step}/{self.total}  " + "  ".join(parts), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Takes the bar down."""
        if self.live is not None:
            self.live.stop()
