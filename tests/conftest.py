"""Eight virtual devices for the whole suite, quick compilation, workers that stay small, and the option --slow."""

import ctypes
import gc
import logging
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version

# Before jax is imported anywhere. The tests compile many small programs and run each a few times only.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
FLAGS = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    # One thread for a product or a convolution, where eight devices share two cores: none waits for others of the pool.
    " --xla_cpu_multi_thread_eigen=false --xla_cpu_enable_concurrency_optimized_scheduler=false"
    # Eight device threads on two busy cores may meet late; the default gives up, and the process, after 40 s.
    " --xla_cpu_collective_call_terminate_timeout_seconds=300"
)
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    FLAGS += (
        " --xla_cpu_use_fusion_emitters=false"  # compiles in two thirds of the time; later versions refuse the flag
    )
# A device's program runs in a pool of as many threads as there are devices, and its collectives hold a thread while they
# wait; programs with several collectives at once can fill the pool and wait for ever. With more threads they cannot.
os.environ.setdefault("NPROC", "64")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}".strip()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# With a heap for each of these threads, freed memory would stay with its thread: worker processes have two heaps.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")
# Worker processes and the child processes of tests compile the same programs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(tempfile.gettempdir(), "jaxssl-test-cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402
import pytest  # noqa: E402

libc = ctypes.CDLL(None)
# Tracing makes many small objects; looking through all of them as often as by default takes a tenth of the time.
gc.set_threshold(100_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Removes the log handlers that the command line adds for its run folder."""
    yield
    log = logging.getLogger("jaxssl")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.propagate = True


@pytest.fixture(scope="module", autouse=True)
def small_worker() -> Iterator[None]:
    """After every file the programs it compiled are dropped, and what they held is given back to the system."""
    yield
    jax.clear_caches()
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
