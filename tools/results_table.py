"""Writes the README's table of methods from configs/results.json; with --check says whether it is stale.

.venv/bin/python tools/results_table.py [--check]
"""

import argparse
import sys
from pathlib import Path

from jaxssl.results import few_cell, percent, results, table_rows

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
HEAD = (
    "method",
    "paper",
    "config",
    "untrained, 10 labels a class",
    "trained, 10 labels a class",
    "k-NN",
    "linear, all labels",
)


def markdown() -> str:
    """The table of methods, a row for every config that was measured, and the commands behind it."""
    measured = results(ROOT / "configs")
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    for name, paper, config, few, knn in table_rows():
        found = measured.get(Path(config).name, {}).get("results", {})
        if not found and not config.endswith("_12k.py"):
            continue
        trained, untrained = found.get("trained encoder", {}), found.get("untrained encoder", {})
        link = f"[{paper.removeprefix('arXiv:')}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"
        cells = (name, link, f"`{config}`", few_cell(untrained), few, knn, percent(trained, "linear/top1"))
        lines.append("| " + " | ".join(cells) + " |")
    one = next((m for m in measured.values() if m.get("data", "").endswith("12k")), None)
    if one is not None:
        raw = one["results"]["raw pixels"]
        lines.append(
            f"| raw pixels | | | | {few_cell(raw)} | {percent(raw, 'knn/top1')} | {percent(raw, 'linear/top1')} |"
        )
        lines += [
            "",
            f"Accuracy in per cent on the 2,000 held-out images of the bundled set, mean and spread over 5 draws of labels; "
            f"{one['step']:,} steps of batch {one['batch_size']}, seed {one['seed']}, on {one['device']}. "
            "Each row: `.venv/bin/python tools/measure.py CONFIG`.",
        ]
    return "\n".join(lines)


def render(readme: str) -> str:
    """The README with the table between its marks renewed."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def main() -> int:
    """Exit status 1 with --check when the README's table is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    old = readme.read_text()
    new = render(old)
    if check:
        return int(new != old)
    readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
