"""Types of options: one piece of code checks all of them against annotations, and names the option."""

import functools
import glob
import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import pytest

from jaxssl.build import ROOMS, Misfit, _wrong_size, build, checked, fit, kinds_of, resolve, wrong_number
from jaxssl.config import load_config
from jaxssl.core import Method
from jaxssl.data.source import Splits
from jaxssl.models.module import Module
from jaxssl.pretrained import Pretrained

PAIRS = tuple[tuple[str, float], ...]


@pytest.mark.parametrize(
    "value, kind, right",
    [
        (3, int, 3),
        (3.0, int, 3),
        (np.int64(3), int, 3),
        (1, float, 1.0),
        (np.float32(0.5), float, 0.5),
        (True, bool, True),
        ("a", str, "a"),
        (None, int | None, None),
        (None, str | None, None),
        (4, int | None, 4),
        (3, int | float, 3),
        ([1, 2], Sequence[int], (1, 2)),
        ((1, 2.0), tuple[int, ...], (1, 2)),
        ([0.2, 1], tuple[float, float], (0.2, 1.0)),
        ((), Sequence[str], ()),
        (64, int | tuple[int, int], 64),
        ([64, 32], int | tuple[int, int], (64, 32)),
        ([["a", 1]], PAIRS, (("a", 1.0),)),
        ("x", Literal["x", "y"], "x"),
        ({"name": "a.b"}, Mapping[str, Any], {"name": "a.b"}),
        ([1, "a"], tuple, (1, "a")),
        ("anything", Any, "anything"),
        (2, Annotated[int, wrong_number(1)], 2),
    ],
)
def test_values_take_the_form_of_their_type(value, kind, right):
    found = fit(value, kind, "section.option")
    assert found == right and type(found) is type(right)


@pytest.mark.parametrize(
    "value, kind, words",
    [
        (0.2, tuple[float, float], "must be two numbers, as in (0.3, 1.0)"),
        ((0.2,), tuple[float, float], "must be two numbers"),
        ((0.2, 0.3, 0.4), tuple[float, float], "must be two numbers"),
        (8, Sequence[int], "must be a sequence of integers, as in (8,)"),
        ("knn", tuple[str, ...], "must be a sequence of words, as in ('knn',)"),
        ("ab", Sequence[int], "must be a sequence of integers"),
        ((1, 2.5), Sequence[int], "must be an integer"),
        (True, int, "must be an integer"),
        (False, float, "must be a number"),
        (1, bool, "must be True or False"),
        (2.5, int, "must be an integer"),
        ("3", int, "must be an integer"),
        ("0.1", float, "must be a number"),
        (float("nan"), float, "must be a finite number"),
        (float("inf"), float, "must be a finite number"),
        (10**400, float, "must be a finite number"),
        (float("inf"), int, "must be an integer"),
        (float("nan"), int, "must be an integer"),
        (float("nan"), tuple[float, float], "must be two numbers"),
        (None, int, "must be an integer"),
        (3, str, "must be text"),
        (3, str | None, "must be text or none"),
        ("x", int | tuple[int, int], "must be an integer or two integers"),
        ("float31", Literal["float32", "bfloat16"], "must be 'float32' or 'bfloat16'"),
        (1, Literal["1"], "must be '1'"),
        ([["a"]], PAIRS, "must be (text, a number)"),
        (3, Mapping[str, Any], "must be a section"),
        (0, Annotated[int, wrong_number(1)], "must be at least 1"),
        (3, Annotated[int, wrong_number(1, 2)], "must be at least 1 and at most 2"),
        (0.0, Annotated[float, wrong_number(0, above=True)], "must be above 0"),
    ],
)
def test_what_is_not_of_its_type_is_refused_with_what_would_be_right(value, kind, words):
    with pytest.raises(Misfit) as caught:
        fit(value, kind, "section.option", (0.3, 1.0))
    said = str(caught.value)
    assert said.startswith("section.option=") and words in said and said.endswith("."), said


# What a section in a section makes: `build` calls its factory, whose own options are checked.
BUILT = (Splits, Method, Module, Pretrained)


def understood(kind) -> bool:
    """Whether `fit` tells a right value of that type from a wrong one."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in BUILT:
        return True
    if origin is Literal or kind in (bool, int, float, str, type(None)):
        return True
    if origin in (Mapping, dict):
        return True
    return bool(parts) and all(part is ... or understood(part) for part in parts)


def names(node):
    """All names of factories in a config."""
    if isinstance(node, dict):
        if "." in str(node.get("name", "")):
            yield node["name"]
        for value in node.values():
            yield from names(value)


def test_every_option_of_every_factory_that_a_config_names_has_a_type():
    used = set()
    for file in (file for file in glob.glob("configs/*/*.py") if "stages" not in file):
        for arg in ("", ":quick"):
            used |= set(names(load_config(file + arg).to_dict()))
    assert len(used) > 90
    for name in sorted(used):
        for option, kind in kinds_of(resolve(name)).items():
            assert understood(kind), f"{name}: option {option} is annotated {kind}"


def test_no_default_is_refused_and_no_size_below_what_it_can_be_is_taken():
    refused = 0
    for room in ROOMS:
        package = importlib.import_module(f"jaxssl.{room}")
        inside = pkgutil.iter_modules(getattr(package, "__path__", []), f"jaxssl.{room}.")
        for home in [package, *(importlib.import_module(module.name) for module in inside)]:
            for name, factory in vars(home).items():
                if inspect.isfunction(factory) and factory.__module__ == home.__name__ and name[0] != "_":
                    where, kinds = f"{home.__name__}.{name}", kinds_of(factory)
                    for option, parameter in inspect.signature(factory).parameters.items():
                        if option not in kinds:
                            continue
                        if parameter.default is not parameter.empty:
                            assert not _wrong_size(option, parameter.default), f"{where}: default of {option}"
                        if kinds[option] in (int, int | None):
                            refused += 1
                            with pytest.raises(ValueError, match=f"{option}=-1: must be at least "):
                                checked({"name": where, option: -1}, lambda_of(factory, option), "section")
    assert refused > 150


def lambda_of(factory, option):
    """The factory with no other option that must be given."""
    others = {
        k: None
        for k, p in inspect.signature(factory).parameters.items()
        if p.kind is p.KEYWORD_ONLY and k != option and p.default is p.empty
    }
    return functools.partial(factory, **others)


@pytest.mark.parametrize(
    "spec",
    [
        dict(name="methods.simclr", dim=0),
        dict(name="methods.simclr", hidden_dims=(8, 0)),
        dict(name="methods.simclr", temperature=0),
        dict(name="methods.moco", momentum=1.1),
        dict(name="methods.byol", momentum=-0.1),
        dict(name="methods.vicreg", variance_weight=-1),
        dict(name="methods.swav", freeze_steps=-1),
        dict(name="models.convnet", widths=(-1,)),
        dict(name="models.convnet", strides=(0,)),
        dict(name="models.vit.vit", num_heads=0),
        dict(name="models.vit.vit", mlp_ratio=0),
        dict(name="data.sets.fashion_mnist_12k", limit=-1),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(spec):
    option = list(spec)[1]
    with pytest.raises(ValueError, match=rf"section\.{option}=.*: must be (at least|above) \d"):
        checked(spec, resolve(spec["name"]), "section")


def test_build_checks_values_before_the_call():
    statistics = dict(mean=(0.5,), std=(0.5,))
    with pytest.raises(
        ValueError, match=r"augment.image.simclr.crop_scale=0.2: must be two numbers, as in \(0.08, 1.0\)"
    ):
        build(dict(name="augment.image.simclr", size=8, crop_scale=0.2, **statistics))
    with pytest.raises(ValueError, match=r"image.widths=8: must be a sequence of integers, as in \(8,\)"):
        build(dict(name="models.two_tower", image=dict(name="models.convnet", widths=8), text={}))


def test_own_factories_are_checked_where_they_have_annotations():
    def own(*, count: int, plain=3, later: "Unknown" = None):  # noqa: F821
        return count, plain, later

    assert checked(dict(name="a.b", count=2, plain="x"), own, "method") == dict(count=2, plain="x")

    def typed(*, count: int, plain=3):
        return count, plain

    with pytest.raises(ValueError, match="method.count='x': must be an integer"):
        checked(dict(name="a.b", count="x"), typed, "method")
    assert checked(dict(name="a.b", count=2.0, plain="x"), typed, "method") == dict(count=2, plain="x")
