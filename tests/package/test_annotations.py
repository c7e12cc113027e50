"""Public functions say the types of what they take and give; the type check itself is in tools/test.sh."""

import ast

import pytest
from runs import ROOT


def public_functions(folder):
    """(file and name, node) of every public function at the top of a module."""
    for file in sorted((ROOT / "jaxssl" / folder).rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def without_type(node):
    """The arguments of a function that have no annotation, and 'return'."""
    a = node.args
    taken = [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs, *filter(None, [a.kwarg])]
    return [arg.arg for arg in taken if arg.annotation is None] + ["return"] * (node.returns is None)


@pytest.mark.parametrize("folder, least", [("losses", 30), ("ops", 40), ("augment", 80), ("skeletons", 20)])
def test_every_public_function_is_annotated(folder, least):
    found = dict(public_functions(folder))
    assert len(found) >= least
    wrong = {name: missing for name, node in found.items() if (missing := without_type(node))}
    assert not wrong, "\n".join(f"{name}: {', '.join(missing)}" for name, missing in wrong.items())


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "jaxssl" / "py.typed").is_file()
