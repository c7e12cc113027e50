"""Puts the folder `configs` into built packages as jaxssl/configs; pyproject.toml names it. An editable install reads the clone."""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py


def config_files() -> list[Path]:
    """The configs and their measured numbers, relative to the clone's folder."""
    return sorted(f for f in Path("configs").rglob("*") if f.suffix in (".py", ".json"))


class BuildConfigs(build_py):
    """`build_py` with the configs beside the modules."""

    def run(self) -> None:
        """Builds the modules, then copies the configs, unless the package is installed for editing."""
        super().run()
        for source, target in self.configs().items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def configs(self) -> dict[Path, Path]:
        """{file of the clone: file of the built package}."""
        return {} if self.editable_mode else {f: Path(self.build_lib, "jaxssl", f) for f in config_files()}

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files that are made."""
        return [*super().get_outputs(include_bytecode), *map(str, self.configs().values())]

    def get_source_files(self) -> list[str]:
        """All files that a source distribution needs."""
        return [*super().get_source_files(), *map(str, config_files()), "tools/build_configs.py"]
