"""Losses of the first 20 steps of every config in its quick form, to the bit: recorded before a change, compared after it.

    python tests/record_losses.py write FILE [NAME ...]
    python tests/record_losses.py compare FILE [NAME ...]

Bits depend on the processor and on the version of jax: write and compare on one machine, with one environment. One
device, one thread, the compiler's options of the tests.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ["JAX_COMPILATION_CACHE_DIR"] = ""
import conftest  # noqa: E402, F401  the compiler's options, before jax is imported
import jax  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from jaxssl.config import load_config  # noqa: E402
from jaxssl.experiment import resident_feed, setup  # noqa: E402

STEPS = 20


def losses(config: ConfigDict) -> list[list[str]]:
    """`loss` and `grad_norm` of every step, as hexadecimal numbers."""
    experiment = setup(config, devices=jax.devices()[:1])
    state, feed, rows = experiment.initial(), resident_feed(experiment), []
    for _ in range(STEPS):
        state, metrics = experiment.update(state, feed)
        rows.append([float(metrics[name]).hex() for name in ("loss", "grad_norm")])
    return rows


def main(action: str, file: str, *names: str) -> int:
    """Returns the exit status: 1 where a loss differs from the record."""
    found, wrong = {}, []
    recorded = json.loads(Path(file).read_text()) if action == "compare" else {}
    for path in sorted((ROOT / "configs").rglob("*.py")):
        if (
            names
            and path.stem not in names
            or path.parent.name == "stages"
            or action == "compare"
            and path.stem not in recorded
        ):
            continue
        config = load_config(f"{path}:quick")
        if config.data.get("path") == "":
            continue
        try:
            found[path.stem] = losses(config)
        except ValueError as error:
            found[path.stem] = str(error)
        if action == "write":
            Path(file).write_text(json.dumps(found, indent=0) + "\n")
            print(path.stem, flush=True)
            continue
        same = sum(a == b for a, b in zip(found[path.stem], recorded[path.stem]))
        print(f"{path.stem}: {same} of {STEPS} steps equal", flush=True)
        if same < STEPS:
            wrong.append(path.stem)
            pairs = [
                (float.fromhex(a), float.fromhex(b)) for (a, _), (b, _) in zip(found[path.stem], recorded[path.stem])
            ]
            print("   ", pairs[0], pairs[-1])
        jax.clear_caches()
    print("different:", wrong or "none") if action == "compare" else None
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
