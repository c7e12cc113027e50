"""What imports what: the light door stays light, and every layer keeps to itself."""

import ast
import subprocess
import sys

import pytest
from runs import ROOT

PACKAGE = ROOT / "jaxssl"
RINGS = ("chunked.py", "pair_blocks.py")
HEAVY = {
    "flax",
    "orbax",
    "tensorflow",
    "tensorflow_datasets",
    "ml_collections",
    "sklearn",
    "PIL",
    "rich",
    "tensorboardX",
}


@pytest.mark.parametrize(
    "line",
    [
        "import jaxssl",
        "import jaxssl.losses",
        "from jaxssl.losses import nt_xent",
        "import jaxssl; jaxssl.losses.nt_xent, jaxssl.ops.sinkhorn",
        "import jaxssl; assert {'losses', 'models', 'train'} <= set(dir(jaxssl)) and not hasattr(jaxssl, 'loses')",
        "import jaxssl.ops",
    ],
)
def test_light_imports(line):
    code = f"{line}\nimport sys\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def imports(file):
    """Top-level names of all imports in a file, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(
    "folder, allowed",
    [
        ("losses", {"jax", "optax", "numpy", "jaxssl.losses", "jaxssl.ops", "typing", "collections", "functools"}),
        ("ops", {"jax", "optax", "numpy", "jaxssl.ops", "einops", "typing", "collections", "functools", "math"}),
        (
            "methods",
            {
                "jax",
                "einops",
                "jaxssl.card",
                "jaxssl.core",
                "jaxssl.losses",
                "jaxssl.models",
                "jaxssl.ops",
                "jaxssl.skeletons",
                "functools",
                "typing",
            },
        ),
        (
            "skeletons",
            {
                "jax",
                "einops",
                "jaxssl.core",
                "jaxssl.losses",
                "jaxssl.models",
                "jaxssl.ops",
                "jaxssl.skeletons",
                "typing",
                "collections",
                "itertools",
            },
        ),
        ("augment", {"jax", "numpy", "jaxssl.augment", "jaxssl.core", "typing", "collections", "math", "functools"}),
    ],
)
def test_layers_import_only_what_is_below_them(folder, allowed):
    for file in (PACKAGE / folder).rglob("*.py"):
        for name in imports(file):
            assert any(name == a or name.startswith(a + ".") for a in allowed), f"{file.name} imports {name}"


def test_tensorflow_only_in_data_and_flax_only_in_models():
    for file in PACKAGE.rglob("*.py"):
        tops = {name.split(".")[0] for name in imports(file)}
        where = file.relative_to(PACKAGE).parts[0]
        assert where == "data" or not tops & {"tensorflow", "tensorflow_datasets"}, file
        assert where == "models" or "flax" not in tops, file


def test_losses_and_methods_know_nothing_of_devices():
    """All but the chunked losses and the sums that they take, which send blocks round a ring of devices."""
    for folder in ("losses", "methods"):
        for file in (f for f in (PACKAGE / folder).glob("*.py") if f.name not in RINGS):
            for word in ("pmap", "psum", "all_gather", "axis_name", "world_size", "process_index", "device"):
                assert word not in file.read_text(), f"{file}: {word}"
