"""Measured numbers of the methods, as `configs/results.json` records them, and the rows of the table made of them."""

import ast
import importlib.util
import json
import pkgutil
import re
from pathlib import Path

from jaxssl.config_files import config_files, configs_folder
from jaxssl.evaluators import columns

NOT_MEASURED = "not measured"
HEADLINE = "few_labels/10_mean"


def method_files() -> dict[str, Path]:
    """Every method's name and file."""
    folder = Path(importlib.util.find_spec("jaxssl.methods").submodule_search_locations[0])
    return {m.name: folder / f"{m.name}.py" for m in sorted(pkgutil.iter_modules([str(folder)]), key=lambda m: m.name)}


def paper(name: str, file: Path) -> str:
    """'arXiv:...' (or 'doi:...') of a method, from its factory's docstring, without importing it."""
    tree = ast.parse(file.read_text())
    factory = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    doc = ast.get_docstring(factory) or ""
    found = re.findall(r"arXiv:\d{4}\.\d{5}", doc) or re.findall(r"doi:10\.\d{4,9}/[\w.()/-]*\w", doc)
    return found[-1] if found else ""


def link(paper: str) -> str:
    """The address of 'arXiv:...' or 'doi:...'."""
    kind, _, number = paper.partition(":")
    return {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}[kind] + number


def results(folder: Path | None) -> dict[str, dict]:
    """{config file: what `tools/results.py` measured with it}."""
    file = None if folder is None else folder / "results.json"
    return json.loads(file.read_text()) if file is not None and file.is_file() else {}


def uses(config: Path, method: str) -> bool:
    """Whether a config file builds that method."""
    return f'name="methods.{method}"' in config.read_text()


def shown(config: Path) -> str:
    """A config's file as a command names it, from the clone's folder."""
    return f"configs/{config.parent.name}/{config.name}"


def table_rows() -> list[tuple[str, str, str, str, str]]:
    """(method, paper, config, its headline measure, the value) of every method and config, by name."""
    measured, rows = results(configs_folder()), []
    files = config_files().values()
    for name, file in method_files().items():
        own = [config for config in files if uses(config, name)]
        for config in own or [None]:
            found = measured.get(config.name, {}) if config is not None else {}
            headline = found.get("headline", HEADLINE)
            value = cell(found.get("results", {}).get("trained encoder", {}), headline)
            rows.append((name, paper(name, file), shown(config) if config else "none", headline, value))
    return rows


def cell(results: dict[str, float], name: str) -> str:
    """One result in the unit of its column; mean and spread where it is the mean of several draws."""
    return columns.cell(results, columns.column_of(name)) or NOT_MEASURED
