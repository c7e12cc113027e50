"""`python -m jaxssl` is the console script `jaxssl`."""

import sys

from jaxssl.cli import main

sys.exit(main())
