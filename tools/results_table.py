"""Writes the README's tables of methods from configs/results.json; with --check says whether it is stale.

.venv/bin/python tools/results_table.py [--check | --claims]
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from jaxssl.build import resolve
from jaxssl.claims import lead, leads, merit
from jaxssl.evaluators.columns import Column, cell, column_of
from jaxssl.index import HEADLINE, Results, Row, rows, shown
from jaxssl.recipes.image import fashion_mnist_12k

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
HEAD = (
    "system",
    "paper",
    "config",
    "untrained, 10 labels a class",
    "trained, 10 labels a class",
    "k-NN",
    "linear, all labels",
    "seeds",
    "in words",
)

SPREAD = "±: of an encoder with several seeds the deviation over seeds; with one seed, and of floors, that over draws of labels."
COMMAND = "`.venv/bin/python tools/measure.py CONFIG`, with `--seeds 0,1,2` where there are three"


def row(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def first_cells(row: Row) -> tuple[str, str, str]:
    """Name, linked paper and config of a system."""
    card = row.system.card
    paper = f"[{card.paper.partition(':')[2]}]({card.link})" if card.paper else ""
    return card.name, paper, f"`{shown(row.config)}`"


def compared(entry: Row) -> bool:
    """Whether a row is of the table of methods on the bundled images: that set, its recipe's budget, its headline."""
    recipe, found = fashion_mnist_12k(), entry.measured
    budget = (recipe.data.name, recipe.total_steps, recipe.batch_size, HEADLINE)
    return (found.get("data"), found.get("step"), found.get("batch_size"), entry.headline) == budget


def images() -> list[str]:
    """Methods on the bundled images, at one budget."""
    lines, one = [row(HEAD), row(["---"] * len(HEAD))], None
    names = (HEADLINE, "knn/top1", "linear/top1")
    for entry in filter(compared, rows()):
        one, found = entry, entry.results
        words = zip(("k-NN", "linear"), names[1:])
        behind = [word for word, name in words if lead(found.own, found.floors, column_of(name)).ahead]
        said = [entry.words, f"raw pixels lead by {', '.join(behind)}" if behind else ""]
        shown = [cell(found.own, column_of(name)) for name in names]
        untrained = cell(found.untrained, entry.column)
        lines.append(row([*first_cells(entry), untrained, *shown, str(entry.seeds), "; ".join(filter(None, said))]))
    if one is not None:
        raw = one.results.floors["raw pixels"]
        lines.append(row(["raw pixels", "", "", "", *(cell(raw, column_of(name)) for name in names), "", ""]))
        measured = one.measured
        lines += [
            "",
            f"Accuracy in per cent on the 2,000 held-out images of the bundled set; {measured['step']:,} steps of batch "
            f"{measured['batch_size']} on {measured['device']}. {SPREAD} Each row: {COMMAND}.",
        ]
    return lines


def in_words(entry: Row) -> str:
    """What the numbers of a row do not say by themselves: who leads, of which parts, on what kind of data."""
    found, said = entry.results, [entry.words]
    group, _, measure = entry.headline.partition("/")
    if measure == "auroc":
        others = tuple(k for k in found.own if k.startswith(f"{group}/auroc") or k.endswith("_std"))
        parts = [column_of(k) for k in found.own if k.startswith(f"{group}/") and k not in others]
        each = (f"{c.key.partition('/')[2]} {cell(found.own, c)} ({_best(found, c)})" for c in parts if c.better)
        each = ", ".join(each)
        said.append(f"mean of {each}" if each else "")
    if group == "clustering":
        said.append(f"of all {'nodes' if entry.modality == 'graph' else 'examples'}, not of held-out ones")
    said += dict.fromkeys(generated(name) for name in entry.measured.get("sources", [entry.measured["data"]]))
    return "; ".join(filter(None, said))


def _best(found: Results, column: Column) -> str:
    name = max(found.floors, key=lambda n: merit(found.floors[n], column))
    return f"{name} {cell(found.floors[name], column)}"


def generated(data: str) -> str:
    """What of a source's data is computed and not collected, in words; '' where nothing is."""
    return getattr(sys.modules[resolve(data).__module__], "GENERATED", "")


def others() -> list[str]:
    """What was measured on other data, or otherwise: each by the measure that its config names, beside its own floors."""
    lines = []
    for entry in rows():
        if not entry.measured or compared(entry):
            continue
        found, column, steps = entry.results, entry.column, entry.measured.get("step")
        others = {**found.floors, **found.beside}
        beside = (f"{name} {cell(other, column)}" for name, other in others.items() if column.key in other)
        budget = f"{steps:,} x {entry.measured['batch_size']}" if steps else ""
        trained = (cell(found.untrained, column), entry.value, budget, str(entry.seeds))
        numbers = (", ".join(beside), *trained, in_words(entry))
        lines.append(row([*first_cells(entry), column.title, *numbers]))
    if not lines:
        return []
    head = (
        "system",
        "paper",
        "config",
        "measure",
        "floors",
        "untrained",
        "trained",
        "steps x batch",
        "seeds",
        "in words",
    )
    note = f"On held-out data where the row does not say otherwise; ↑ higher is better, ↓ lower. {SPREAD} Each row: {COMMAND}."
    return ["", row(head), row(["---"] * len(head)), *lines, "", note]


def markdown() -> str:
    """The tables of methods and the commands behind them."""
    return "\n".join(images() + others())


def render(readme: str) -> str:
    """The README with the table between its marks renewed."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{after}"


def claims() -> list[str]:
    """A line a measured row: seeds, leads in units of the measure, what is claimed, what is wrong with it."""
    lines = []
    for entry in filter(lambda entry: entry.record, rows()):
        found = leads(entry.results, entry.column, entry.seeds)
        margins = (f"{name} {'-' if one.margin is None else f'{one.margin:+.3f}'}" for name, one in found.items())
        says = f"{shown(entry.config)}: {entry.seeds} seeds; {', '.join(margins)}; beats={entry.beats}"
        lines.append("; ".join([says, *entry.wrong_claims, *filter(None, [entry.words])]))
    return lines


def main() -> int:
    """Exit status 1 with --check when the README's table is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--claims", action="store_true", help="list what every row claims, and by how much it leads")
    args = parser.parse_args()
    check = args.check
    if args.claims:
        print("\n".join(claims()))
        return 0
    readme = ROOT / "README.md"
    old = readme.read_text()
    new = render(old)
    if check:
        return int(new != old)
    readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
