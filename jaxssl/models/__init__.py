"""Networks as Flax Linen modules, one family a file; methods reach them through `models.module` alone."""
