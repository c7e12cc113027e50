"""Public functions say the types of what they take and give; the type check itself is in tools/test.sh."""

import ast

import pytest
from runs import ROOT

PACKAGE = ROOT / "jaxssl"
# Folders of the package; "" stands for the modules at its top.
FOLDERS = ("", *sorted({file.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*/*.py")}))


def public_functions(body, owner=""):
    """(name, node) of every public function of a module's body and of every public method of its public classes."""
    for node in body:
        public = not getattr(node, "name", "_").startswith("_")
        if public and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield owner + node.name, node
        elif public and isinstance(node, ast.ClassDef):
            yield from public_functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from public_functions(ast.iter_child_nodes(node), owner)


def without_type(node):
    """The arguments of a function that have no annotation, and 'return'."""
    a = node.args
    taken = [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs, *filter(None, [a.kwarg])]
    untyped = [arg.arg for arg in taken if arg.annotation is None and arg.arg not in ("self", "cls")]
    return untyped + ["return"] * (node.returns is None)


def untyped(text):
    """{line and name: what lacks an annotation} of the public functions and methods of a module."""
    found = public_functions(ast.parse(text).body)
    return {f"{node.lineno} {name}": missing for name, node in found if (missing := without_type(node))}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_public_function_and_method_is_annotated(folder):
    files = sorted((PACKAGE / folder).rglob("*.py") if folder else PACKAGE.glob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(ROOT)}:{where}: {', '.join(missing)}"
        for file in files
        for where, missing in untyped(file.read_text()).items()
    ]
    assert not wrong, "\n".join(wrong)


def test_what_counts_as_public():
    text = """
def open(x: int, *rest, flag=True, **options: int) -> None:
    def inner(y): ...
def _hidden(x): ...
class Shown:
    def method(self, x) -> int: ...
    @classmethod
    def made(cls, x: int): ...
    def _hidden(self, x): ...
class _Hidden:
    def method(self, x): ...
if True:
    def chosen(x) -> None: ...
"""
    assert untyped(text) == {
        "2 open": ["rest", "flag"],
        "6 Shown.method": ["x"],
        "8 Shown.made": ["return"],
        "13 chosen": ["x"],
    }


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()
