"""Config files: `get_config(arg)` returns one ConfigDict with the same sections for every method.

seed, total_steps, batch_size, max_minutes
data       dict(name='data....', mode='resident' | 'stream', options of the source)
augment    dict(name='augment....', options)         what a view is, inside the jitted step
preprocess dict(name='augment.image.plain', ...)     what evaluation and export see instead
encoder    dict(name='models....', dtype, remat, options)
method     dict(name='methods....', options)
optim      options of `jaxssl.optim.make_optimizer`
study      dict(name='studies....', options)         what runs in the place of training (`jaxssl.study`); '' trains
start      dict(run, file, step, parts, state)       what a new run begins from (`jaxssl.start`)
mesh       dict(data=-1, model=1, rules=((pattern, 'replicate' | 'fsdp' | spec), ...))
log, checkpoint, evaluate                            how often, and what
"""

import ast
import functools
import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ml_collections import ConfigDict

from jaxssl.aliases import current_name, current_option
from jaxssl.build import (
    Untrusted,
    checked,
    fit,
    kinds_of,
    nearest,
    plain_name,
    resolve,
    resolve_in,
    shown,
    wrong_number,
)
from jaxssl.config_files import find_config, import_config
from jaxssl.data.readers.packed import is_pack
from jaxssl.optim import make_optimizer

# Sections that `build` calls: there, every option that the factory takes may be set, written in the file or not.
FACTORIES = ("data", "augment", "preprocess", "encoder", "method", "study")
EVALUATORS = dict(
    knn=dict(name="evaluators.knn", k=20, temperature=0.07),
    linear=dict(name="evaluators.linear"),
    few_labels=dict(name="evaluators.few_labels", per_class=(1, 10), draws=5),
    rankme=dict(name="evaluators.rankme"),
)

FLOORS = {"raw pixels": dict(name="evaluators.floors.flat")}


def base() -> ConfigDict:
    """All sections with the defaults that no method has a reason to change; a config file starts from this."""
    return ConfigDict(
        dict(
            seed=0,
            total_steps=1000,
            batch_size=256,
            gradient_chunks=1,  # c > 1: the same loss and gradient with the activations of a c-th of the batch
            max_minutes=0.0,  # 0: no limit; else save and stop after this many minutes
            data=dict(name="data.sets.fashion_mnist_12k", mode="resident"),
            augment=dict(name=""),
            preprocess=dict(name="augment.image.plain"),
            encoder=dict(name=""),
            method=dict(name=""),
            study=dict(name=""),
            start=dict(run="", file="", step=None, parts=("encoder",), state=False),
            optim=dict(
                name="adamw",
                learning_rate=1e-3,
                scale_batch=0,  # 0: the rate is used as written; b: it is multiplied by batch_size / b
                warmup_steps=0,
                warmup="moving",  # step k of W is at (k + 1) / W of the peak; 'zero': k / W; 'closed': k / (W - 1)
                warmup_first=0.0,
                rate_steps=1,  # steps between two changes of the rate
                schedule="cosine",
                final_fraction=0.0,
                weight_decay=0.0,
                weight_decay_end=None,
                exclude=r"/(bias|scale|ls1|ls2|cls_token|reg_token|pos_embed|mask_token)$",
                frozen="",
                multipliers=(),
                clip_norm=0.0,
                clip_each=False,
                momentum=None,
                nesterov=None,
                b1=None,
                b2=None,
                eps=None,
                trust_coefficient=None,
                rate_in_momentum=None,
            ),
            mesh=dict(data=-1, model=1, rules=((".*", "replicate"),), fsdp_min_size=2**14),
            log=dict(
                every=20,
                tensorboard=True,
                monitor=True,
                monitor_after=50,  # steps before the first alarm
                stop_on_collapse=False,
            ),
            checkpoint=dict(every=500, keep=2),
            evaluate=dict(
                every=0,
                batch_size=500,
                final=True,
                part="test",  # 'validation': a tenth of the training data, held out; the test set is not read
                evaluators=EVALUATORS,
                during=("knn", "rankme"),
                floors=FLOORS,  # rows of the final table: features without training
                headline="few_labels/10_mean",  # the number that the README's table shows
            ),
        )
    )


def load_config(
    path: str, overrides: Mapping[str, str] | None = None, *, data: str | None = None, trust: bool = False
) -> ConfigDict:
    """The config of `FILE.py[:ARG]` (or of a run's config.json) with `section.option=value` overrides applied.

    The name of one of the project's configs, such as `simclr_image_folder:quick`, stands for its file.
    FILE.py is a program and runs. A .json file is data: it may name factories of jaxssl only, and those that an
    override names.

    Args:
      data: shorthand for the override `data.path`; the folder of a pack takes the place of the whole section.
      trust: a .json file may name any factory; JAXSSL_TRUST=1 in the environment says the same.

    Raises:
      ValueError: naming the file, the unknown option with the nearest known one, or the option whose value is not of
        its type.
      Untrusted: before anything is imported, naming the module.
    """
    file, _, arg = path.partition(":")
    file = str(find_config(file))
    stored = file.endswith(".json")
    if not stored and not file.endswith(".py"):
        raise ValueError(f"config '{file}': must be FILE.py[:ARG], or the config.json of a run folder.")
    config = _read_json(file) if stored else _run_file(file, arg)
    missing = set(base()) - set(config)
    if missing:
        raise ValueError(f"config '{file}' lacks the sections {sorted(missing)}; start from jaxssl.config.base().")
    if data is not None and is_pack(data):
        config.data = ConfigDict(dict(name="data.readers.packed", mode=config.data.get("mode", "stream"), path=data))
    changes = {**(overrides or {}), **({"data.path": data} if data is not None else {})}
    names = {name: text for name, text in changes.items() if name.endswith(".name")}
    for name, text in names.items():  # first: they say what else may be set
        override(config, name, text)
    _renew(config)
    if stored and not trust and os.environ.get("JAXSSL_TRUST") != "1":
        _check_trust(config, file, changes)
    for name, text in changes.items():
        if name not in names:
            override(config, name, text)
    validate(config)
    return config.lock()


def _renew(node: Any) -> None:
    """Brings names of factories and options of an earlier version to those of today, at any depth."""
    if not isinstance(node, ConfigDict):
        return
    for option in list(node):
        _renew(node[option])
    if isinstance(node.get("name"), str):
        with node.unlocked(), node.ignore_type():
            for option in [option for option in node if option != "name"]:
                new, value = current_option(node.name, option, node[option])
                if new != option:
                    if new in node:
                        raise ValueError(f"{node.name}: {option} is the earlier name of {new}, which is set too.")
                    del node[option]
                    node[new] = value
            if node.name != current_name(node.name):
                node.name = current_name(node.name)


def _run_file(file: str, arg: str) -> ConfigDict:
    module = import_config(file)
    if not hasattr(module, "get_config"):
        raise ValueError(f"config '{file}' defines no function get_config(arg).")
    config = module.get_config(arg or None)
    if not isinstance(config, ConfigDict):
        raise ValueError(f"config '{file}': get_config returned {type(config).__name__}; return jaxssl.config.base().")
    return config


def _read_json(file: str) -> ConfigDict:
    """A stored config. Options that an earlier version did not know have the values of `base()`.

    A schedule of the method that ends with the run (`*_steps` equal to total_steps) follows it again, as in FILE.py.
    """
    advice = "take a copy, or let `jaxssl train FILE.py` write it anew"
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"), object_pairs_hook=_printable)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"config '{file}' is damaged: {type(error).__name__}: {error}; {advice}.") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"config '{file}' is damaged: a {type(content).__name__}, not an object of sections; {advice}."
        )
    for name, default in base().to_dict().items():
        if name not in FACTORIES or name == "study":
            content.setdefault(name, default)
        if isinstance(default, dict) and not isinstance(content.get(name, default), dict):
            kind = type(content[name]).__name__
            raise ValueError(f"config '{file}' is damaged: '{name}' is a {kind}, not a section; {advice}.")
        if isinstance(default, dict) and name not in FACTORIES:
            content[name] = {**default, **content[name]}
    try:
        config = _tuples(ConfigDict(content))
        for option, value in config.get("method", {}).items():
            if option.endswith("_steps") and value == config.total_steps:
                config.method[option] = config.get_oneway_ref("total_steps")
        return config
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"config '{file}' is damaged: {error}; {advice}.") from None


def _printable(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if not key.isprintable():
            raise ValueError(f"the name {shown(key)}")
    return dict(pairs)


def _named(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """(path, section) of all sections that name something, at any depth."""
    if isinstance(node, Mapping | ConfigDict):
        if "name" in node and not isinstance(node["name"], Mapping | ConfigDict):
            yield where, node
        for key in node:
            yield from _named(node[key], f"{where}.{key}")
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _named(item, where)


def _specs(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """(path, name) of all sections that name something, at any depth."""
    yield from ((place, found["name"]) for place, found in _named(node, where))


def _check_trust(config: ConfigDict, file: str, changes: Mapping[str, str]) -> None:
    """Raises Untrusted where a stored config names another module than jaxssl's, unless an override names it too."""
    advice = (
        f"{file} is not trusted, as a FILE.py given to `train` is; where the run is your own, or you trust whoever made "
        "it, give --trust (or set JAXSSL_TRUST=1)"
    )
    typed = {name for text in changes.values() for _, name in _specs(_literal(str(text)), "")}
    typed |= {text for name, text in changes.items() if name.endswith(".name")}
    sections = [(name, config[name]) for name in (*FACTORIES, "evaluate")]
    for where, name in (found for section, node in sections for found in _specs(node, section)):
        if name in ("", None) or (isinstance(name, str) and name in typed):
            continue
        try:
            plain = plain_name(name)
            resolve(name, trusted=False)
        except Untrusted:
            raise Untrusted(
                f"{where}.name={shown(name)}: no factory of jaxssl, and the module {shown(plain.rpartition('.')[0])} is "
                f"not imported: {advice}."
            ) from None
        except ValueError as error:
            raise ValueError(f"{where}.{error}") from None
    # TensorFlow Datasets runs programs for some names, and writes where data_dir says.
    for where, node in (found for section, node in sections for found in _named(node, section)):
        if not current_name(str(node["name"])).removeprefix("jaxssl.").startswith("data.readers.tfds"):
            continue
        plain = re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.*]+)?", str(node.get("dataset")))
        for option, bad in (("download", node.get("download")), ("dataset", not plain)):
            if bad and f"{where}.{option}" not in changes:
                value = node.get(option)
                raise Untrusted(f"{where}.{option}={shown(value)}: downloads, or runs what is downloaded: {advice}.")


Count = Annotated[int, wrong_number(1, 2**31 - 1)]
Natural = Annotated[int, wrong_number(0, 2**31 - 1)]
Amount = Annotated[float, wrong_number(0)]


def _wrong_pattern(pattern: str, inside: bool = False) -> str:
    """inside: it becomes a part of another pattern."""
    try:
        re.compile(pattern)
        re.compile(f"^(?!.*(?:{pattern}))" if inside else pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"must be a regular expression ({error})"
    return ""


def _wrong_multipliers(pairs: tuple) -> str:
    return next(filter(None, (_wrong_pattern(pair[0], inside=True) for pair in pairs)), "")


def _wrong_rules(rules: tuple) -> str:
    for pattern, what in rules:
        if not (what in ("replicate", "fsdp") or (isinstance(what, tuple) and set(what) <= {None, "data", "model"})):
            return f"must have 'replicate', 'fsdp' or a tuple of None, 'data' and 'model' for '{pattern}', not {what!r}"
        if _wrong_pattern(pattern):
            return _wrong_pattern(pattern)
    return ""


def _wrong_ways(ways: int) -> str:
    return "" if ways == -1 or ways >= 1 else "must be at least 1, or -1 for all devices"


# Types that the defaults in `base()` do not show.
KINDS = {
    "": dict(
        seed=Annotated[int, wrong_number(0, 2**32 - 1)],
        total_steps=Count,
        batch_size=Count,
        gradient_chunks=Count,
        max_minutes=Amount,
    ),
    "mesh": dict(
        data=Annotated[int, _wrong_ways],
        model=Count,
        rules=Annotated[tuple[tuple[str, str | tuple[str | None, ...]], ...], _wrong_rules],
        fsdp_min_size=Natural,
    ),
    "start": dict(step=Natural | None, parts=Mapping | tuple[str, ...]),
    "log": dict(every=Count, monitor_after=Natural),
    "checkpoint": dict(every=Count, keep=Count),
    "evaluate": dict(
        every=Natural,
        batch_size=Count,
        part=Literal["test", "validation"],
        during=tuple[str, ...],
        evaluators=Mapping,
        floors=Mapping,
    ),
}
# Of make_optimizer, whose annotations say the rest.
OPTIM = dict(
    learning_rate=wrong_number(0, above=True),
    scale_batch=wrong_number(0),
    warmup_steps=wrong_number(0),
    warmup_first=wrong_number(0, 1),
    rate_steps=wrong_number(1),
    final_fraction=wrong_number(0, 1),
    weight_decay=wrong_number(0),
    weight_decay_end=wrong_number(0),
    exclude=functools.partial(_wrong_pattern, inside=True),
    frozen=_wrong_pattern,
    multipliers=_wrong_multipliers,
    clip_norm=wrong_number(0),
    momentum=wrong_number(0, 1),
    b1=wrong_number(0, 1),
    b2=wrong_number(0, 1),
    eps=wrong_number(0),
    trust_coefficient=wrong_number(0, above=True),
)


@functools.cache
def _base_kinds(section: str) -> dict[str, Any]:
    """{option: type} of a section of `base()` that no factory takes; '' is the top level."""
    node = base()[section] if section else base()
    kinds = {k: Mapping if isinstance(v, ConfigDict) else Any if v is None else type(v) for k, v in node.items()}
    if section == "optim":
        hints = kinds_of(make_optimizer)
        kinds |= {k: Annotated[hints[k], OPTIM[k]] if k in OPTIM else hints[k] for k in kinds if k in hints}
    return kinds | KINDS.get(section, {})


def _kinds(node: ConfigDict, path: tuple[str, ...]) -> dict[str, Any]:
    """{option: type} of all options of a section, whether they are written there or not."""
    if not path or (len(path) == 1 and path[0] not in FACTORIES):
        return _base_kinds(*path or ("",))
    if path in (("evaluate", "evaluators"), ("evaluate", "floors")):
        return dict.fromkeys(node, Mapping)
    mode = {"mode": Literal["resident", "stream"]} if path == ("data",) else {}
    return kinds_of(resolve_in(".".join(path), node)) | {"name": str} | mode


def override(config: ConfigDict, name: str, text: Any) -> None:
    """Sets `section.option` to the Python literal in `text`, or to the text itself where that is of the option's type."""
    *sections, option = name.split(".")
    node, seen = config, "config"
    for section in sections:
        if not isinstance(node, Mapping | ConfigDict) or section not in node:
            raise ValueError(f"--config.{name}: {seen} has no section '{section}'.{nearest(section, _keys(node))}")
        node, seen = node[section], f"{seen}.{section}"
    if not isinstance(node, ConfigDict):
        raise ValueError(f"--config.{name}: {seen} is not a section.")
    literal = _literal(text) if isinstance(text, str) else text
    option, renewed = current_option(str(node.get("name")), option, literal)
    text = text if renewed is literal else renewed
    old = node.get(option)
    # What a section is named is not looked up to name it anew.
    named = "name" in node or (sections and sections[0] in FACTORIES)
    kinds = {"name": str} if option == "name" and named else _kinds(node, tuple(sections))
    if option not in kinds:
        raise ValueError(f"--config.{name}: {seen} has no option '{option}'.{nearest(option, kinds)}")
    if isinstance(old, ConfigDict):
        raise ValueError(f"--config.{name}: '{option}' is a section; set one of {sorted(old)} in it.")
    kind = kinds[option] if kinds[option] is not Any or old is None else type(old)
    with config.unlocked(), config.ignore_type():
        node[option] = _parsed(text, kind, name, old)


def _parsed(text: Any, kind: Any, name: str, old: Any) -> Any:
    """The value that a text means: none where the type has it, text where text was, else a literal before text."""
    literal = _literal(text) if isinstance(text, str) else text
    values = [literal, text] if literal is None or not isinstance(old, str) else [text, literal]
    for value in [literal] if isinstance(literal, str) else values:
        try:
            return fit(value, kind, name, old)
        except ValueError:
            continue
    return fit(literal, kind, name, old)


def validate(config: ConfigDict) -> None:
    """Checks what can be checked without data or devices: every option against its type, and some against each other.

    Values become what their types want: a list a tuple, 3.0 the integer 3. Raises ValueError naming the option.
    """
    studies = bool(config.study.get("name"))
    with config.unlocked(), config.ignore_type():
        _settle(config, ())
        for section in base():
            # A study needs data alone: the sections of networks may be as `base` has them.
            left_out = section in ("augment", "preprocess", "encoder", "method") if studies else section == "study"
            if isinstance(config[section], ConfigDict) and not left_out:
                _settle(config[section], (section,))
        for group in ("evaluators", "floors"):
            for name in config.evaluate[group]:
                if not isinstance(config.evaluate[group][name], ConfigDict):
                    raise ValueError(f"evaluate.{group}.{name}: must be a section, as in dict(name='evaluators.knn').")
                _settle(config.evaluate[group][name], ("evaluate", group, name))
    if config.optim.warmup_steps > config.total_steps:
        raise ValueError(
            f"optim.warmup_steps={config.optim.warmup_steps}: must lie in 0 .. total_steps={config.total_steps}."
        )
    unknown = set(config.evaluate.during) - set(config.evaluate.evaluators)
    if unknown:
        raise ValueError(
            f"evaluate.during names {sorted(unknown)}, not in evaluate.evaluators {sorted(config.evaluate.evaluators)}."
        )


def _settle(node: ConfigDict, path: tuple[str, ...]) -> None:
    """Checks the options of one section, and sets those whose value has another form than its type."""
    where, kinds = ".".join(path), _kinds(node, path)
    if path and (path[0] in FACTORIES or len(path) == 3):
        spec = options(node)
        mode = (
            {"mode": fit(spec.pop("mode"), kinds["mode"], "data.mode")} if path == ("data",) and "mode" in spec else {}
        )
        fitted = checked(spec, resolve(node.name), where) | mode
    else:
        fitted, defaults = {}, options(base()[where] if where else base())
        for option in node:
            if option not in kinds:
                raise ValueError(f"{where or 'config'} has no option '{option}'.{nearest(option, kinds)}")
            takes_sections = Mapping in (kinds[option], *get_args(kinds[option]))
            if not (takes_sections and isinstance(node[option], ConfigDict)):
                name = f"{where}.{option}" if where else option
                fitted[option] = fit(node[option], kinds[option], name, defaults.get(option))
    for option, value in fitted.items():
        # Only where it differs: to set an option cuts its reference to another one.
        if not isinstance(value, Mapping) and repr(value) != repr(node[option]):
            node[option] = value


def _keys(node) -> list[str]:
    return list(node) if isinstance(node, Mapping | ConfigDict) else []


def _literal(text: str):
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _tuples(node):
    """JSON has lists only; configs use tuples, since factories take hashable options."""
    if isinstance(node, ConfigDict):
        return ConfigDict({k: _tuples(v) for k, v in node.items()})
    return tuple(_tuples(v) for v in node) if isinstance(node, list | tuple) else node


def options(section: ConfigDict) -> dict:
    """A section as a plain dict, for `build`."""
    return section.to_dict()


# Recipes that stood here up to version 0.1; config files of one's own may import them.
MOVED = dict(
    fashion_mnist_12k="image.fashion_mnist_12k",
    imagenet="image.imagenet",
    point_clouds="points.point_clouds",
    short_texts="text.short_texts",
    quick="image.quick_images",
    quick_convnet="image.quick_convnet",
    quick_imagenet="image.quick_imagenet",
    quick_point_clouds="points.quick_point_clouds",
    quick_short_texts="text.quick_short_texts",
    quick_table="table.quick_table",
)


def __getattr__(name: str) -> Any:
    if name not in MOVED:
        raise AttributeError(f"module 'jaxssl.config' has no attribute '{name}'.{nearest(name, MOVED)}")
    module, _, function = MOVED[name].partition(".")
    return getattr(importlib.import_module(f"jaxssl.recipes.{module}"), function)
