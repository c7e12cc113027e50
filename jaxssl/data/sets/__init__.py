"""Data sets that need no files of one's own: generated, bundled with the package, or found on the machine."""
