"""Writes the README's tables of methods from configs/results.json; with --check says whether it is stale.

.venv/bin/python tools/results_table.py [--check]
"""

import argparse
import sys
from pathlib import Path

from jaxssl.evaluators.columns import column_of
from jaxssl.results import HEADLINE, cell, link, results, table_rows

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
IMAGES = "_fashion_mnist_12k.py"
HEAD = (
    "method",
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
    "data.sets.tones": "generated data",
    "data.sets.words": "words spoken by a synthesiser",
    "data.sets.fashion_captions": "captions made by rules",
    "data.sets.fashion_clouds": "clouds made from images",
    "data.sets.solids": "generated data",
    "data.sets.ecg_rhythms": "generated data",
    "data.sets.flows": "generated data",
    "data.sets.sensors": "generated data",
    "data.sets.moving_items": "generated motions",
}


def row(cells) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def reference(paper: str) -> str:
    """The number of a paper, linked."""
    return f"[{paper.partition(':')[2]}]({link(paper)})"


def images(measured: dict) -> list[str]:
    """Methods on the bundled images, at one budget."""
    lines = [row(HEAD), row(["---"] * len(HEAD))]
    for name, paper, config, headline, trained_cell in table_rows():
        if not config.endswith(IMAGES):
            continue
        found = measured.get(Path(config).name, {}).get("results", {})
        trained, untrained = found.get("trained encoder", {}), found.get("untrained encoder", {})
        rest = (cell(trained, "knn/top1"), cell(trained, "linear/top1"))
        floors = {k: v for k, v in found.items() if k not in ("trained encoder", "untrained encoder")}
        measures = {"10 labels": headline, "k-NN": "knn/top1", "linear": "linear/top1"}
        behind = [name for name, measure in measures.items() if leaders(trained, untrained, floors, measure)]
        said = f"raw pixels lead: {', '.join(behind)}" if behind else ""
        lines.append(row([name, reference(paper), f"`{config}`", cell(untrained, headline), trained_cell, *rest, said]))
    one = next((m for name, m in measured.items() if name.endswith(IMAGES)), None)
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


def leaders(trained: dict, untrained: dict, floors: dict[str, dict], measure: str) -> str:
    """Which floor, or the untrained encoder, has more than the trained one, in words; '' where none has."""
    value = trained.get(measure)
    if value is None:
        return ""
    ahead = [name for name, found in floors.items() if (found.get(measure) or 0) > value]
    said = [f"floor leads: {', '.join(ahead)}"] if ahead else []
    if (untrained.get(measure) or 0) >= value:
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
    name = max(floors, key=lambda n: floors[n].get(measure) or 0)
    return f"{name} {cell(floors[name], measure)}"


def others(measured: dict) -> list[str]:
    """What was measured on other data: each by the measure that its config names, beside its own floors."""
    lines = []
    for name, paper, config, headline, trained in table_rows():
        found = measured.get(Path(config).name)
        if found is None or config.endswith(IMAGES):
            continue
        results = dict(found["results"])
        del results["trained encoder"]
        untrained = cell(results.pop("untrained encoder"), headline)
        floors = ", ".join(f"{floor} {cell(r, headline)}" for floor, r in results.items() if headline in r)
        budget = f"{found['step']:,} x {found['batch_size']}"
        said = in_words(found, headline)
        cells = (
            name,
            reference(paper),
            f"`{config}`",
            column_of(headline).title,
            floors,
            untrained,
            trained,
            budget,
            said,
        )
        lines.append(row(cells))
    if not lines:
        return []
    head = ("method", "paper", "config", "measure", "floors", "untrained", "trained", "steps x batch", "in words")
    note = (
        "On held-out data; seed 0; ↑ higher is better, ↓ lower. Each row: `.venv/bin/python tools/measure.py CONFIG`."
    )
    return ["", row(head), row(["---"] * len(head)), *lines, "", note]


def markdown() -> str:
    """The tables of methods and the commands behind them."""
    measured = results(ROOT / "configs")
    return "\n".join(images(measured) + others(measured))


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
