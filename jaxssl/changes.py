"""Differences between the config of a run folder and the one that the run is resumed with."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxssl.aliases import current_spec
from jaxssl.files import to_json, unused, write_whole
from jaxssl.processes import agreed

log = logging.getLogger("jaxssl")

# A stored state loses its meaning when one of these changes: which examples have been seen, and which come next. All
# else may change, also where the data lie and how they are read.
FIXED = ("seed", "batch_size", "method.name", "data", "evaluate.part")
FREE = ("data.path", "data.mode", "data.max_file_mb", "data.max_pixels", "data.memory_gb")
ABSENT = "absent"
# Options that earlier versions did not have, and what those did.
EARLIER = {"evaluate.part": "test"}


def record_config(config: ConfigDict, workdir: Path, step: int, *, allow_changes: bool = False) -> None:
    """Writes config.json; logs the differences from the folder's earlier one, which is kept as config.step_N.json.

    Args:
      step: where the run goes on; 0 of a run that begins.

    Raises:
      ValueError: naming the options that a run must not change once it has begun, unless allow_changes.
    """
    import jax

    text = agreed(lambda: _look(config, workdir, step, allow_changes))
    if text:
        raise ValueError(text)
    if jax.process_index() == 0:
        write_config(config, workdir)


def write_config(config: ConfigDict, workdir: Path) -> None:
    """config.json, whole or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    write_whole(workdir / "config.json", to_json(config.to_dict(), indent=2) + "\n")


def _look(config: ConfigDict, workdir: Path, step: int, allow_changes: bool) -> str:
    """Says the differences and keeps the earlier config; returns why to refuse, or ''."""
    file = workdir / "config.json"
    try:
        earlier = json.loads(file.read_bytes())
        if not isinstance(earlier, dict):
            raise ValueError("it holds no sections")
        renewed = current_spec(earlier)
    except FileNotFoundError:
        return ""
    except ValueError as error:
        aside = unused(workdir / "config.damaged.json")
        file.rename(aside)
        log.warning("%s cannot be read (%s): set aside as %s", file, error, aside.name)
        return ""
    changed = differences(renewed, json.loads(to_json(config.to_dict())))
    if not changed:
        return ""
    refused = [name for name in changed if step and _within(name, FIXED) and not _within(name, FREE)]
    if refused and not allow_changes:
        said = ", ".join(f"{name}={_short(changed[name][1])} (was {_short(changed[name][0])})" for name in refused)
        return (
            f"{workdir} was trained to step {step} with another config: {said}. What is stored there would no longer mean "
            "the same: take the earlier values, another --workdir, or --allow-changes."
        )
    for name, (old, new) in changed.items():
        log.warning("config of %s: %s is now %s, was %s", workdir.name, name, _short(new), _short(old))
    kept = unused(workdir / f"config.step_{step}.json")
    write_whole(kept, file.read_text(encoding="utf-8"))
    log.info("the config up to step %d is kept as %s", step, kept.name)
    return ""


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{'section.option': (earlier value, value now)} of all options that differ; 'absent' where one has none."""
    old, new = ({**EARLIER, **_flat(config)} for config in (earlier, now))
    return {
        name: (old.get(name, ABSENT), new.get(name, ABSENT))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, value in tree.items():
        inner = isinstance(value, Mapping) and bool(value)
        found |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return found


def _within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def _short(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
