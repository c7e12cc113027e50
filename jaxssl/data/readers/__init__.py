"""Readers of one's own data, one a file; they share `npz`, `jsonl`, `csv`, `folder` and `meshes`."""
