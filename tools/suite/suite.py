"""What the configs of this folder share: the published recipe of configs/, with images made on the spot."""

from ml_collections import ConfigDict

from jaxssl.config import load_config

MODES = ("resident", "stream")


def base(name: str) -> ConfigDict:
    """The config of that name, open for changes."""
    return load_config(name).copy_and_resolve_references().unlock()


def with_data(config: ConfigDict, arg: str | None, *, image_size: int) -> ConfigDict:
    """With arg 'resident' a pack (`--data PACK`), with 'stream' a folder of JPEG files (`--data FOLDER`)."""
    if arg not in MODES:
        raise ValueError(f"name the data after a colon, one of {MODES}; got {arg!r}")
    if arg == "resident":
        config.data = dict(name="data.readers.packed", mode="resident", path="")
    else:
        config.data = dict(name="data.readers.image_folder", mode="stream", path="", image_size=image_size)
    config.total_steps, config.optim.warmup_steps = 10_000, 100
    return config
