"""Base configs for tables."""

from ml_collections import ConfigDict

from jaxssl.recipes.quick import quick


def quick_table(config: ConfigDict) -> ConfigDict:
    """`quick` on 200 rows; the config file shrinks its encoder and method."""
    quick(config).data.limit = 200
    return config
