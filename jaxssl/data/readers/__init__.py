"""Readers of one's own data, one a file; `npz`, `jsonl`, `csv`, `folder` and `meshes` are what they share."""
