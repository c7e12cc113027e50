"""All systems and configs of the project, from their cards: for `jaxssl list`, the README's tables and the tests."""

import functools
import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jaxssl import claims, measured
from jaxssl.build import build, nearest, options_of, resolve
from jaxssl.card import FAMILIES, KINDS, MODALITIES, Card
from jaxssl.config_files import config_files, configs_folder, import_config, stage_files
from jaxssl.evaluators import columns
from jaxssl.evaluators.columns import Column

NOT_MEASURED = "not measured"
HEADLINE = "few_labels/10_mean"
# Packages whose modules may have a card.
ROOMS = ("methods", "studies", "evaluators")
PUBLISHED = "published"
# Skeletons whose methods are an objective alone: checked with one of them, the networks are checked for all.
JOINT = {"siamese", "teacher"}


class System(NamedTuple):
    """One published system, or a config or stage that has a card of its own.

    Attributes:
      card: the facts about it.
      id: the module or file that has the card: 'methods.simclr', 'configs/audio/NAME.py'.
      configs: the configs that run it.
    """

    card: Card
    id: str
    configs: tuple[Path, ...]


class Results(NamedTuple):
    """{measure: value} of the trained encoder or of the study, of the untrained encoder, and of others by name.

    floors: what the row must lead to claim so. beside: rows of a pipeline that are none, such as a teacher.
    """

    own: dict[str, float]
    untrained: dict[str, float]
    floors: dict[str, dict[str, float]]
    beside: dict[str, dict[str, float]] = {}


class Row(NamedTuple):
    """One line of a table: a system, one of its configs, and its measured values.

    Attributes:
      system: the system.
      config: a config that runs it; None where there is none.
      record: that of `tools/measure.py`, of one seed or several (`jaxssl.measured`); {} where there is none.
    """

    system: System
    config: Path | None
    record: dict[str, Any]

    @property
    def measured(self) -> dict[str, Any]:
        """The record of the first seed: data, steps, headline; {} where there is none."""
        return measured.first(self.record)

    @property
    def seeds(self) -> int:
        """The number of seeds that its numbers are the mean of; 0 where nothing was measured."""
        return int(self.record.get("runs", len(measured.runs(self.record))))

    @property
    def modality(self) -> str:
        """That of the config's data; of the system where no config says."""
        folder = self.config.parent.name if self.config is not None else ""
        return folder if folder in MODALITIES else self.system.card.modality

    @property
    def headline(self) -> str:
        """The measure that the config names for its row; where it was not measured, that of the record."""
        module, recorded = None if self.config is None else import_config(self.config), self.measured.get("headline")
        if hasattr(module, "get_config"):
            named = module.get_config().evaluate.headline
        else:
            named = getattr(module, "HEADLINE", HEADLINE)
        return named if recorded is None or named in self.results.own else recorded

    @property
    def column(self) -> Column:
        """The column of the headline measure; a study may declare its own."""
        own = columns.declared(resolve(self.system.id)) if self.system.id.startswith("studies.") else ()
        return columns.find(self.headline, own) or columns.column_of(self.headline)

    @property
    def results(self) -> Results:
        """The measured values, by part; of several seeds mean and spread."""
        rows = measured.averaged(self.record)
        # Of a study, which trains nothing, the first row is its own.
        own = rows.pop("trained encoder", None) or rows.pop(next(iter(rows), ""), {})
        untrained = rows.pop("untrained encoder", {})
        floors = self.measured.get("floors", tuple(rows))
        beside = {name: rows.pop(name) for name in tuple(rows) if name not in floors}
        return Results(own, untrained, rows, beside)

    @property
    def value(self) -> str:
        """The headline measure of the trained encoder, or of the study."""
        return columns.cell(self.results.own, self.column) or NOT_MEASURED

    @property
    def beats(self) -> tuple[str, ...]:
        """What the row claims to lead: `BEATS` of the config, else `beats` of the system's card."""
        module = None if self.config is None else import_config(self.config)
        return getattr(module, "BEATS", self.system.card.beats)

    @property
    def wrong_claims(self) -> list[str]:
        """Which of its claims the measured numbers do not bear out, in words."""
        if not self.record:
            own = "BEATS" in vars(import_config(self.config)) if self.config is not None else False
            return [f"beats={self.beats}: nothing has been measured."] if own and self.beats else []
        return claims.wrong_claims(self.beats, self.results, self.column, self.seeds)

    @property
    def words(self) -> str:
        """What its numbers do not say by themselves: who leads, and which lead is not sure."""
        return claims.words(self.beats, self.results, self.column, self.seeds)


def shown(config: Path) -> str:
    """A config's file as a command names it, from the clone's folder."""
    return f"configs/{config.parent.name}/{config.name}"


def module_cards() -> dict[str, Card]:
    """{'methods.simclr': its card} of the modules that have one."""
    found = {}
    for room in ROOMS:
        spec = importlib.util.find_spec(f"jaxssl.{room}")
        for module in pkgutil.iter_modules(spec.submodule_search_locations if spec is not None else []):
            card = card_of(importlib.import_module(f"jaxssl.{room}.{module.name}"))
            if card is not None:
                found[f"{room}.{module.name}"] = card
    return found


def card_of(module: ModuleType) -> Card | None:
    """The card of a module, or None."""
    return getattr(module, "CARD", None)


def runs(config: Any) -> str:
    """'methods.simclr' or 'studies.coreset': the system that a config runs, whatever way it was written."""
    for section in ("study", "method"):
        name = (config.get(section) or {}).get("name") or ""
        if name:
            return name.removeprefix("jaxssl.")
    return ""


def stage_runs(module: ModuleType) -> str:
    """The system that a pipeline runs in the stage of its own row (OWN_ROW, else the first row); '' where none does."""
    from jaxssl.config import load_config  # the command line loads it in any case; what lists alone may do without

    stages = [stage for stage in module.get_stages(None) if stage.row is not None]
    own = getattr(module, "OWN_ROW", None)
    stage = next((s for s in stages if own in (None, s.row or s.name)), None)
    if stage is None:
        return ""
    return runs(load_config(stage.config) if isinstance(stage.config, str) else stage.config)


def systems() -> list[System]:
    """All systems that have a card, by name. Configs are loaded, so that it does not matter how they are written."""
    cards, configs = module_cards(), {}
    for file in config_files().values():
        module = import_config(file)
        own = card_of(module)
        if own is not None:
            cards[shown(file)] = own
        configs.setdefault(shown(file) if own is not None else runs(module.get_config()), []).append(file)
    for file in stage_files().values():
        module = import_config(file)
        card = card_of(module)
        if card is not None:
            cards[shown(file)], configs[shown(file)] = card, [file]
        else:
            configs.setdefault(stage_runs(module), []).append(file)
    found = [System(card, name, tuple(configs.get(name, ()))) for name, card in cards.items()]
    return sorted(found, key=lambda system: (system.card.name.lower(), system.id))


def results(folder: Path | None = None) -> dict[str, dict]:
    """{config file: the record of `tools/measure.py`}."""
    folder = folder or configs_folder()
    file = None if folder is None else folder / "results.json"
    return json.loads(file.read_text()) if file is not None and file.is_file() else {}


def rows(*, modality: str | None = None, family: str | None = None, kind: str | None = None) -> Iterator[Row]:
    """Every system with each of its configs, by name; those of one modality, family or kind where that is given.

    Raises:
      ValueError: no system can be of that modality, family or kind.
    """
    for name, value, known in (
        ("modality", modality, MODALITIES),
        ("family", family, FAMILIES),
        ("kind", kind, KINDS),
    ):
        if value is not None and value not in known:
            raise ValueError(f"--{name}={value}: no system is of it.{nearest(value, known)}")
    recorded = results()
    for system in systems():
        card = system.card
        if (family or card.family) != card.family or (kind or card.kind) != card.kind:
            continue
        for config in system.configs or (None,):
            row = Row(system, config, recorded.get(config.name, {}) if config is not None else {})
            if (modality or row.modality) == row.modality:
                yield row


def skeleton_of(config: Any) -> str:
    """The skeleton whose loss a config's method has, as in 'siamese'; '' where the method writes its own."""
    encoder = build(config.encoder.to_dict()) if config.encoder.name else None
    spec = config.method.to_dict()
    sizes = {name: 10 for name in ("num_examples", "num_classes") if name in options_of(resolve(spec["name"]))}
    method = build({**sizes, **spec}, encoder)
    part = method.split.objective if getattr(method, "split", None) is not None else method.loss
    module = getattr(getattr(part, "func", part), "__module__", "")
    return module.removeprefix("jaxssl.skeletons.") if module.startswith("jaxssl.skeletons.") else ""


@functools.cache
def contract() -> dict[Path, str]:
    """{config: how much of the contract of methods is checked with it in every run of the tests}.

    'full': one config of each skeleton, and one of each method that brings networks or a loss of its own. 'short': one
    config of each other method, an objective on a skeleton of `JOINT`, and the published recipes. 'data': the config needs data of
    one's own. 'again': a further config of a method; with --slow, as all others, it is checked in full.
    A config file with `CONTRACT = "full"` is always checked so.
    """
    recorded, found, skeletons = results(), {}, set()
    for system in systems():
        first = True
        # Those that have been measured come first: the others may need what is not here.
        for file in sorted(system.configs, key=lambda file: file.name not in recorded):
            module = import_config(file)
            if not hasattr(module, "get_config") or system.card.kind == "study":
                continue
            config = module.get_config("quick")
            if file.parent.name == PUBLISHED:
                found[file] = "short"
                continue
            if config.data.get("path") == "":
                found[file] = "data"
                continue
            skeleton = skeleton_of(config)
            one_more = "again" if not first else "short" if skeleton in skeletons else "full"
            found[file], first = getattr(module, "CONTRACT", one_more), False
            skeletons |= {skeleton} & JOINT
    return dict(sorted(found.items()))
