"""Decodes the data of a config once, into files that are read as fast as the disk allows.

    .venv/bin/python tools/pack.py CONFIG.py OUT [--data PATH] [--config.data.image_size=256 ...]
    .venv/bin/jaxssl train CONFIG.py --data OUT --workdir RUN

For data sets that are decoded more slowly than the accelerator trains and that do not fit on it. The pack of 1.28 million
images of 256 x 256 takes 252 GB. What is read is what the config's `data` section says, both splits.
"""

import argparse
import sys

from jaxssl.cli import split_overrides


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 2 the input was wrong."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        rest, overrides = split_overrides(argv)
        args = parser().parse_args(rest)
        from jaxssl.build import build
        from jaxssl.config import load_config, options
        from jaxssl.data.readers.packed import check_new, write_pack

        check_new(args.out)
        config = load_config(args.config, overrides, data=args.data)
        sizes = write_pack(build({k: v for k, v in options(config.data).items() if k != "mode"}), args.out)
    except (ValueError, TypeError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: " + ", ".join(f"{size} examples to {split}" for split, size in sizes.items()))
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments, apart from the overrides."""
    found = argparse.ArgumentParser(prog="pack", description=__doc__.splitlines()[0])
    found.add_argument("config", help="FILE.py[:ARG]; --config.data.option=value changes it")
    found.add_argument("out", metavar="OUT", help="folder that is made")
    found.add_argument("--data", metavar="PATH", help="folder or file that the config's data source reads")
    return found


if __name__ == "__main__":
    sys.exit(main())
