"""Writes the README's tables of methods from configs/results.json; with --check says whether it is stale.

.venv/bin/python tools/results_table.py [--check]
"""

import argparse
import math
import sys
from pathlib import Path

from jaxssl.evaluators.columns import column_of
from jaxssl.index import HEADLINE, Row, cell, rows, shown

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
# The set on which methods for images are compared at one budget, in a table of their own.
IMAGES = "data.fashion_mnist.fashion_mnist_12k"
HEAD = (
    "system",
    "paper",
    "config",
    "untrained, 10 labels a class",
    "trained, 10 labels a class",
    "k-NN",
    "linear, all labels",
    "in words",
)
# Sources whose examples, or a part of them, are computed and not collected.
GENERATED = {
    "data.audio.tones": "generated data",
    "data.audio.words": "words spoken by a synthesiser",
    "data.captions.fashion_captions": "captions made by rules",
    "data.points.fashion_clouds": "clouds made from images",
    "data.points.solids": "generated data",
    "data.series.ecg_rhythms": "generated data",
    "data.table.flows": "generated data",
    "data.table.sensors": "generated data",
    "data.video.moving_items": "generated motions",
}


def row(cells) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def first_cells(row: Row) -> tuple[str, str, str]:
    """Name, linked paper and config of a system."""
    card = row.system.card
    paper = f"[{card.paper.partition(':')[2]}]({card.link})" if card.paper else ""
    return card.name, paper, f"`{shown(row.config)}`"


def images() -> list[str]:
    """Methods on the bundled images, at one budget."""
    lines, one = [row(HEAD), row(["---"] * len(HEAD))], None
    for entry in rows():
        if entry.measured.get("data") != IMAGES:
            continue
        one, found, headline = entry.measured, dict(entry.measured["results"]), entry.headline
        trained, untrained = found.pop("trained encoder"), found.pop("untrained encoder")
        rest = (cell(trained, "knn/top1"), cell(trained, "linear/top1"))
        measures = {"10 labels": headline, "k-NN": "knn/top1", "linear": "linear/top1"}
        behind = [name for name, measure in measures.items() if leaders(trained, untrained, found, measure)]
        said = f"raw pixels lead: {', '.join(behind)}" if behind else ""
        lines.append(row([*first_cells(entry), cell(untrained, headline), entry.value, *rest, said]))
    if one is not None:
        raw = one["results"]["raw pixels"]
        names = (HEADLINE, "knn/top1", "linear/top1")
        lines.append(row(["raw pixels", "", "", "", *(cell(raw, name) for name in names), ""]))
        lines += [
            "",
            f"Accuracy in per cent on the 2,000 held-out images of the bundled set, mean and spread over 5 draws of labels; "
            f"{one['step']:,} steps of batch {one['batch_size']}, seed {one['seed']}, on {one['device']}. "
            "Each row: `.venv/bin/python tools/measure.py CONFIG`.",
        ]
    return lines


def merit(found: dict, measure: str) -> float:
    """A result with its sign turned where lower is better; below all others where there is none."""
    value = found.get(measure)
    return -math.inf if value is None else -value if column_of(measure).better == "lower" else value


def leaders(trained: dict, untrained: dict, floors: dict[str, dict], measure: str) -> str:
    """Which floor, or the untrained encoder, is better than the trained one, in words; '' where none is."""
    if trained.get(measure) is None:
        return ""
    value = merit(trained, measure)
    ahead = [name for name, found in floors.items() if merit(found, measure) > value]
    said = [f"floor leads: {', '.join(ahead)}"] if ahead else []
    if merit(untrained, measure) >= value:
        said.append("no gain over untrained")
    return ", ".join(said)


def in_words(found: dict, headline: str) -> str:
    """What the numbers of a row do not say by themselves: who leads, of which parts, on what kind of data."""
    floors = dict(found["results"])
    trained, untrained = floors.pop("trained encoder"), floors.pop("untrained encoder")
    said = [leaders(trained, untrained, floors, headline)]
    group, _, measure = headline.partition("/")
    if measure == "auroc":
        parts = [k for k in trained if k.startswith(f"{group}/") and not k.startswith(f"{group}/auroc")]
        each = (f"{p.partition('/')[2]} {cell(trained, p)} ({_best(floors, p)})" for p in parts)
        said.append(f"mean of {', '.join(each)}" if parts else "")
    said.append(GENERATED.get(found["data"], ""))
    return "; ".join(filter(None, said))


def _best(floors: dict[str, dict], measure: str) -> str:
    name = max(floors, key=lambda n: merit(floors[n], measure))
    return f"{name} {cell(floors[name], measure)}"


def others() -> list[str]:
    """What was measured on other data: each by the measure that its config names, beside its own floors."""
    lines = []
    for entry in rows():
        found, headline = entry.measured, entry.headline
        if not found or found["data"] == IMAGES:
            continue
        floors = dict(found["results"])
        del floors["trained encoder"]
        untrained = cell(floors.pop("untrained encoder"), headline)
        beside = ", ".join(f"{floor} {cell(r, headline)}" for floor, r in floors.items() if headline in r)
        budget = f"{found['step']:,} x {found['batch_size']}"
        said = in_words(found, headline)
        lines.append(
            row([*first_cells(entry), column_of(headline).title, beside, untrained, entry.value, budget, said])
        )
    if not lines:
        return []
    head = ("system", "paper", "config", "measure", "floors", "untrained", "trained", "steps x batch", "in words")
    note = (
        "On held-out data; seed 0; ↑ higher is better, ↓ lower. Each row: `.venv/bin/python tools/measure.py CONFIG`."
    )
    return ["", row(head), row(["---"] * len(head)), *lines, "", note]


def markdown() -> str:
    """The tables of methods and the commands behind them."""
    return "\n".join(images() + others())


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
