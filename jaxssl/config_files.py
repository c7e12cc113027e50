"""Where the project's config files lie: `configs/<modality>/<method>_<data>.py`, in a clone and in an installed package."""

from pathlib import Path

from jaxssl.build import nearest

# Folders of `configs` whose files have no `get_config`.
OTHERS = ("stages",)


def configs_folder() -> Path | None:
    """The project's folder of configs: inside an installed package, beside it in a clone."""
    for folder in (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs"):
        if folder.is_dir():
            return folder
    return None


def config_files() -> dict[str, Path]:
    """{name without .py: file} of the project's configs, by name; no two have the same."""
    folder = configs_folder()
    files = folder.glob("*/*.py") if folder is not None else ()
    return {f.stem: f for f in sorted(files, key=lambda f: f.stem) if f.parent.name not in OTHERS}


def find_config(text: str) -> Path:
    """The file that `FILE.py`, or the name of one of the project's configs, means.

    `simclr_image_folder` is `configs/image/simclr_image_folder.py`, wherever it is called from. So is
    `configs/simclr_image_folder.py`, where that file was up to version 0.1.

    Raises:
      ValueError: there is no such file; the message has the nearest name.
    """
    file, known = Path(text), config_files()
    if file.is_file():
        return file
    named, moved = file.name == text and not file.suffix, file.suffix == ".py" and file.parent.name == "configs"
    if (named or moved) and file.stem in known:
        return known[file.stem]
    beside = {p.name for p in file.parent.glob("*.py")} if file.parent.is_dir() and not named else set()
    hints = beside or {name if named else f"{name}.py" for name in known}
    raise ValueError(f"config '{text}' does not exist.{nearest(file.name, hints)}")
