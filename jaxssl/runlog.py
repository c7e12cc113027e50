"""What a run leaves behind while it goes: metrics.jsonl, TensorBoard events, log.txt and a progress bar."""

import json
import logging
import sys
from pathlib import Path

import rich.console
import rich.progress

log = logging.getLogger("jaxssl")


def setup_logging(workdir: Path | None = None, quiet: bool = False) -> None:
    """Messages to the console and, with a run folder, to its log.txt."""
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    handlers = [] if quiet else [logging.StreamHandler(sys.stderr)]
    if workdir is not None:
        handlers.append(logging.FileHandler(workdir / "log.txt"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)


def read_metrics(path: Path) -> list[dict]:
    """The rows of metrics.jsonl; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class RunLog:
    """Writers of one run; only process 0 writes."""

    def __init__(self, workdir: Path, *, start_step: int, tensorboard: bool, active: bool):
        self.path, self.active, self.events = workdir / "metrics.jsonl", active, None
        # What was logged after the restored step will be logged again: a resumed run reads like one that never stopped.
        rows = [r for r in read_metrics(self.path) if r["step"] <= start_step]
        self.evaluated = {r["step"] for r in rows if not any(k.startswith("train/") for k in r)}
        if not active:
            return
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text("".join(json.dumps(r) + "\n" for r in rows))
        fresh.replace(self.path)
        self.file = self.path.open("a")
        if tensorboard:
            from tensorboardX import SummaryWriter

            self.events = SummaryWriter(str(workdir), purge_step=start_step + 1 if start_step else None)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: `step` and flat names."""
        if not self.active:
            return
        self.file.write(json.dumps({"step": step, **{k: float(v) for k, v in values.items()}}) + "\n")
        self.file.flush()
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, float(value), step)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self.active:
            self.file.close()
        if self.events is not None:
            self.events.close()


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
