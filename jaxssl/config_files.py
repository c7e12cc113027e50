"""Where the project's config files lie: `configs/<modality>/<method>_<data>.py`, in a clone and in an installed package."""

import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from jaxssl.build import nearest, options_of, resolve

# Folders of `configs` whose files have `get_stages` in the place of `get_config`.
STAGES = "stages"


def configs_folder() -> Path | None:
    """The project's folder of configs: inside an installed package, beside it in a clone."""
    for folder in (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs"):
        if folder.is_dir():
            return folder
    return None


def config_files() -> dict[str, Path]:
    """{name without .py: file} of the project's configs, by name; no two have the same."""
    return {name: file for name, file in _files().items() if file.parent.name != STAGES}


def stage_files() -> dict[str, Path]:
    """{name without .py: file} of the project's pipelines, by name."""
    return {name: file for name, file in _files().items() if file.parent.name == STAGES}


def _files() -> dict[str, Path]:
    folder = configs_folder()
    files = folder.glob("*/*.py") if folder is not None else ()
    return {f.stem: f for f in sorted(files, key=lambda f: f.stem)}


def import_config(file: Path | str) -> ModuleType:
    """The module that a config or stage file is; running it is importing it."""
    spec = importlib.util.spec_from_file_location("jaxssl_config_" + Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_config(text: str) -> Path:
    """The file that `FILE.py`, or the name of one of the project's configs, means.

    `simclr_image_folder` is `configs/image/simclr_image_folder.py`, wherever it is called from. So is
    `configs/simclr_image_folder.py`, where that file was up to version 0.1. And so is `simclr`: of the configs of a
    method its name alone means the one that trains on data of one's own.

    Raises:
      ValueError: there is no such file, or several are meant; the message names the nearest.
    """
    file, known = Path(text), config_files()
    if file.is_file():
        return file
    named, moved = file.name == text and not file.suffix, file.suffix == ".py" and file.parent.name == "configs"
    if (named or moved) and file.stem in known:
        return known[file.stem]
    meant = _own_data(_of_method(text, known)) if named else {}
    if len(meant) == 1:
        return next(iter(meant.values()))
    if meant:
        raise ValueError(f"config '{text}': {len(meant)} configs are meant; give one of {', '.join(meant)}.")
    beside = {p.name for p in file.parent.glob("*.py")} if file.parent.is_dir() and not named else set()
    hints = beside or {name if named else f"{name}.py" for name in known}
    raise ValueError(f"config '{text}' does not exist.{nearest(file.name, hints)}")


def _of_method(method: str, known: Mapping[str, Path]) -> dict[str, Path]:
    """The configs whose names begin with that of a method, and with that of no longer one, as moco_v3 is to moco."""
    folder = importlib.util.find_spec("jaxssl.methods").submodule_search_locations
    longer = [f"{m.name}_" for m in pkgutil.iter_modules(folder) if m.name.startswith(f"{method}_")]
    return {n: f for n, f in known.items() if n.startswith(method + "_") and not n.startswith(tuple(longer))}


def _own_data(configs: Mapping[str, Path]) -> dict[str, Path]:
    """Those that need a path, else those that take one, else all; not a variant, `NAME_sampled` beside `NAME`."""
    sections = {name: import_config(file).get_config().data.to_dict() for name, file in configs.items()}
    needed = {name for name, data in sections.items() if data.get("path") == ""}
    taken = needed or {name for name, data in sections.items() if "path" in options_of(resolve(data["name"]))}
    taken = {name for name in taken if not any(name.startswith(f"{other}_") for other in taken)}
    return {name: configs[name] for name in taken or configs}
