"""A SimCLR step in this library beside the same step in plain PyTorch: same network, batch, loss and optimiser.

    .venv/bin/python tools/benchmark_torch.py [--model resnet18] [--size 28] [--batch 64] [--steps 10] [--out FILE.json]

Both train on the same two views, which lie on the device; views are not made, so that networks, loss and update are what is
compared. The two take turns, step by step, in one process. Runs only where torch is installed; a GPU that torch sees is
used by both if JAX sees it too. --bfloat16 computes in bfloat16 (torch: autocast).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, DIM, TEMPERATURE, RATE, MOMENTUM = 512, 128, 0.2, 0.03, 0.9
RESNETS = {"resnet18": ("basic", (2, 2, 2, 2)), "resnet50": ("bottleneck", (3, 4, 6, 3))}
VITS = {"vit_ti": (192, 12, 3), "vit_s": (384, 12, 6), "vit_b": (768, 12, 12)}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 1 torch is missing, 2 the input was wrong."""
    args = parser().parse_args(argv)
    if min(args.steps, args.batch) < 1 or args.size % args.patch and args.model in VITS:
        print("benchmark_torch: --steps, --batch at least 1; --size a multiple of --patch", file=sys.stderr)
        return 2
    try:
        import torch
    except ImportError:
        print("benchmark_torch: torch is not installed, there is nothing to compare with", file=sys.stderr)
        return 1
    import jax

    views = np.random.default_rng(0).normal(size=(2, args.batch, args.size, args.size, 3)).astype(np.float32)
    ours, theirs = library_step(args, views), torch_step(args, views)
    times = {"jaxssl": [], "torch": []}
    for turn in range(args.steps + args.warmup):
        for name, step in (("jaxssl", ours), ("torch", theirs)):
            began = time.perf_counter()
            loss = step()
            if turn >= args.warmup:
                times[name].append(1e3 * (time.perf_counter() - began))
            if turn == args.warmup + args.steps - 1 and not np.isfinite(loss):
                raise FloatingPointError(f"{name}: the loss is {loss}")
    medians = {name: float(np.median(found)) for name, found in times.items()}
    report = {
        **{k: getattr(args, k) for k in ("model", "size", "batch", "steps", "bfloat16")},
        "device": jax.devices()[0].device_kind,
        "torch_device": str(torch_device()),
        "jax_version": jax.__version__,
        "torch_version": torch.__version__,
        "step_ms": medians,
        "torch_over_jaxssl": medians["torch"] / medians["jaxssl"],
    }
    print(
        f"{args.model} {args.size} px, 2 x {args.batch}: jaxssl {medians['jaxssl']:.1f} ms ({report['device']}), "
        f"torch {medians['torch']:.1f} ms ({report['torch_device']}); torch / jaxssl = {report['torch_over_jaxssl']:.2f}"
    )
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(prog="benchmark_torch", description=__doc__.splitlines()[0])
    found.add_argument("--model", choices=[*RESNETS, *VITS], default="resnet18")
    found.add_argument("--size", type=int, default=28, help="pixels of the views")
    found.add_argument("--patch", type=int, default=4, help="pixels of the patches of a transformer")
    found.add_argument("--stem", choices=["3x3", "imagenet"], default="3x3", help="of a ResNet: 3x3, or 7x7 and pool")
    found.add_argument("--batch", type=int, default=64, help="images; twice as many views")
    found.add_argument("--steps", type=int, default=10, help="steps that are timed")
    found.add_argument("--warmup", type=int, default=3, help="steps before them")
    found.add_argument("--bfloat16", action="store_true")
    found.add_argument("--out", metavar="FILE.json", help="where the report is written")
    return found


def library_step(args: argparse.Namespace, views: np.ndarray) -> Callable[[], float]:
    """A function: one update; returns the loss."""
    import jax
    import optax

    from jaxssl.methods.simclr import simclr
    from jaxssl.models import resnet, vit

    dtype = "bfloat16" if args.bfloat16 else "float32"
    if args.model in RESNETS:
        encoder = getattr(resnet, args.model)(stem=args.stem, dtype=dtype, remat=False)
    else:
        width, depth, heads = VITS[args.model]
        size = dict(patch_size=args.patch, embed_dim=width, depth=depth, num_heads=heads, image_size=args.size)
        encoder = vit.vit(**size, dtype=dtype)
    method, tx = simclr(encoder, hidden_dims=(HIDDEN,), dim=DIM, temperature=TEMPERATURE), optax.sgd(RATE, MOMENTUM)
    batch = {"views": tuple(jax.device_put(views))}
    params, memory = jax.jit(method.init)(jax.random.key(0), batch)
    state = [params, memory, tx.init(params)]

    def update(params, memory, opt_state, batch):
        (loss, (memory, *_)), grads = jax.value_and_grad(method.loss, has_aux=True)(
            params, memory, batch, jax.random.key(0), 0
        )
        updates, opt_state = tx.update(grads, opt_state, params)
        return loss, [optax.apply_updates(params, updates), memory, opt_state]

    update = jax.jit(update, donate_argnums=(0, 1, 2))

    def step():
        loss, state[:] = update(*state, batch)
        jax.block_until_ready(state)
        return float(loss)

    return step


def torch_device() -> Any:
    """A GPU where torch sees one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def torch_step(args: argparse.Namespace, views: np.ndarray) -> Callable[[], float]:
    """As `library_step`, in torch, channels last in memory."""
    import torch
    from torch import nn

    device = torch_device()
    encoder, width = torch_encoder(args)
    head = nn.Sequential(
        nn.Linear(width, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIM)
    )
    network = nn.Sequential(encoder, head).to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    x = torch.from_numpy(views.reshape(-1, *views.shape[2:])).permute(0, 3, 1, 2).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    rows = 2 * args.batch
    other = (torch.arange(rows, device=device) + args.batch) % rows

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bfloat16):
            z = network(x)
        z = nn.functional.normalize(z.float(), dim=1)
        logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-1e9)
        loss = nn.functional.cross_entropy(logits, other)
        loss.backward()
        optimizer.step()
        return float(loss)  # waits for the device

    return step


def torch_encoder(args: argparse.Namespace) -> tuple[Any, int]:
    """(module, width of its features)."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, kind, before, channels, stride):
            super().__init__()
            after = channels * (1 if kind == "basic" else 4)
            conv = lambda i, o, k, s=1: nn.Conv2d(i, o, k, s, k // 2, bias=False)
            if kind == "basic":
                convs = [conv(before, channels, 3, stride), conv(channels, after, 3)]
            else:
                convs = [conv(before, channels, 1), conv(channels, channels, 3, stride), conv(channels, after, 1)]
            layers = [part for c in convs for part in (c, nn.BatchNorm2d(c.out_channels), nn.ReLU(inplace=True))]
            self.branch = nn.Sequential(*layers[:-1])
            same = stride == 1 and before == after
            self.shortcut = (
                nn.Identity() if same else nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))
            )

        def forward(self, x):
            return torch.relu(self.branch(x) + self.shortcut(x))

    class Transformer(nn.Module):
        def __init__(self, width, depth, heads):
            super().__init__()
            self.patches = nn.Conv2d(3, width, args.patch, args.patch)
            self.token = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(0.02 * torch.randn(1, (args.size // args.patch) ** 2 + 1, width))
            layer = dict(activation="gelu", batch_first=True, norm_first=True, dropout=0.0)
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(width, heads, 4 * width, **layer) for _ in range(depth)
            )
            self.norm = nn.LayerNorm(width)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
            for block in self.blocks:
                x = block(x)
            return self.norm(x)[:, 0]

    if args.model in VITS:
        width, depth, heads = VITS[args.model]
        return Transformer(width, depth, heads), width
    kind, depths = RESNETS[args.model]
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    if args.stem == "imagenet":
        stem[0] = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        stem.append(nn.MaxPool2d(3, 2, 1))
    layers, before = stem, 64
    for stage, depth in enumerate(depths):
        for i in range(depth):
            layers.append(Block(kind, before, 64 * 2**stage, 2 if i == 0 and stage else 1))
            before = 64 * 2**stage * (1 if kind == "basic" else 4)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), before


if __name__ == "__main__":
    sys.exit(main())
