"""Every method that hides something refuses to hide nothing or all, before it is compiled."""

import jax
import jax.numpy as jnp
import pytest

from jaxssl.build import build

SMALL = dict(embed_dim=8, depth=1, num_heads=2)
COLUMNS = {"numbers": jnp.zeros((4, 10)), "categories": jnp.zeros((4, 0), jnp.int32)}
GRAPHS = dict(
    features=jnp.zeros((2, 6, 3)),
    node_mask=jnp.ones((2, 6), bool),
    senders=jnp.zeros((2, 5), jnp.int32),
    receivers=jnp.zeros((2, 5), jnp.int32),
    edge_mask=jnp.ones((2, 5), bool),
)
TEXT = dict(tokens=jnp.ones((2, 8), jnp.int32), mask=jnp.ones((2, 8), bool))
METHODS = {
    "mae": (dict(name="models.vit.vit", patch_size=4, **SMALL), dict(decoder_dim=8, decoder_depth=1, decoder_heads=2),
            jnp.zeros((1, 2, 8, 8, 1))),
    "ssast": (dict(name="models.audio.vit", patch_size=(4, 4), **SMALL), dict(cluster=(1, 1)),
              jnp.zeros((1, 2, 8, 16, 1))),
    "graphmae": (dict(name="models.gnn.gcn", widths=(4,)), {}, (GRAPHS,)),
    "mirror_bert": (dict(name="models.text.text_encoder", vocab_size=20, max_length=8, **SMALL), dict(mlm_steps=2),
                    (TEXT, TEXT)),
    "point_cmae": (dict(name="models.points.transformer", num_groups=5, group_size=4, patch_widths=(4, 4, 4), **SMALL),
                   dict(decoder_depth=1, decoder_heads=2), jnp.zeros((1, 2, 32, 3))),
    "ecg_jepa": (dict(name="models.series.vit", patch_size=4, **SMALL), dict(min_block=1), jnp.zeros((1, 2, 32, 2))),
    "t_jepa": (dict(name="models.tabular.table_transformer", **SMALL), {}, (COLUMNS,)),
}  # fmt: skip
NONE_AND_ALL = (0, 0.0, 0.01, 1, 1.0, 0.999, -0.1, 1.5, float("nan"), float("inf"))
REFUSED = {
    "mae": [dict(masking_ratio=r) for r in NONE_AND_ALL if r != 0.01] + [dict(masking_ratio=0.0)],
    "ssast": [dict(num_masked=m) for m in (0, 8, 9, -1)],
    "graphmae": [dict(masking_ratio=r) for r in (*NONE_AND_ALL[:5], *NONE_AND_ALL[6:])],
    "mirror_bert": [dict(masking_ratio=r) for r in NONE_AND_ALL if r != 0.01],
    "point_cmae": [dict(masking_ratio=r) for r in (*NONE_AND_ALL[:5], *NONE_AND_ALL[6:])],
    "ecg_jepa": [dict(keep_ratio=r) for r in (0, 0.0, 1, 1.0, 0.999, -0.1, 1.5, float("nan"))],
    "t_jepa": [dict(context_share=s) for s in (0, 1, 1.0, 0.999, -0.1, float("nan"))]
    + [dict(target_share=s) for s in (0, 1, 1.0, 0.999, -0.1, float("nan"))],
}
PARTS = {
    "mae": [dict(masking_ratio=r) for r in (0.25, 0.75)],
    "ssast": [dict(num_masked=m) for m in (1, 7)],
    "graphmae": [dict(masking_ratio=r) for r in (0.2, 0.9)],
    "mirror_bert": [dict(masking_ratio=r) for r in (0.01, 0.9)],
    "point_cmae": [dict(masking_ratio=r) for r in (0.2, 0.8)],
    "ecg_jepa": [dict(keep_ratio=r) for r in (0.1, 0.8)],
    "t_jepa": [dict(context_share=0.01, target_share=0.01), dict(context_share=0.5, target_share=0.5)],
}


def trace(name, views=None, **options):
    encoder, own, example = METHODS[name]
    method = build(dict(name=f"methods.{name}", **own, **options), build(encoder))
    batch = {"views": example if views is None else views}
    params, memory = jax.eval_shape(method.init, jax.random.key(0), batch)
    return method, params, memory, batch


def cases(table):
    return [pytest.param(name, options, id=f"{name}-{options}") for name in table for options in table[name]]


@pytest.mark.parametrize("name, options", cases(REFUSED))
def test_none_and_all_are_refused_in_a_sentence_that_names_the_option(name, options):
    """By the factory or by `init`, which `setup` traces before anything is compiled."""
    (option, value) = next(iter(options.items()))
    with pytest.raises(ValueError) as refused:
        trace(name, **options)
    assert option in str(refused.value) and str(value) in str(refused.value), refused.value


@pytest.mark.parametrize("name, options", cases(PARTS))
def test_the_least_and_the_most_that_can_be_hidden_are_taken(name, options):
    method, params, memory, batch = trace(name, **options)
    value, _ = jax.eval_shape(method.loss, params, memory, batch, jax.random.key(0), jnp.int32(0))
    assert value.shape == ()


@pytest.mark.parametrize(
    "name, views",
    [("mae", jnp.zeros((1, 2, 4, 4, 1))), ("ecg_jepa", jnp.zeros((1, 2, 4, 2)))],
)
def test_a_single_patch_cannot_be_hidden_in_part(name, views):
    with pytest.raises(ValueError, match="of 1 patches"):
        trace(name, views=views)


@pytest.mark.parametrize(
    "encoder, x",
    [
        (dict(name="models.audio.vit", patch_size=(4, 2), **SMALL), jnp.zeros((2, 8, 16, 1))),
        (dict(name="models.series.vit", patch_size=4, **SMALL), jnp.zeros((2, 32, 2))),
        (dict(name="models.video.vit", patch_size=4, **{**SMALL, "embed_dim": 16}), jnp.zeros((2, 4, 8, 8, 3))),
    ],
    ids=["audio", "series", "video"],
)
def test_mae_takes_every_transformer_over_patches_of_raw_values(encoder, x):
    """On spectrograms it ended in "unsupported operand type(s) for //: 'int' and 'tuple'"."""
    method = build(dict(name="methods.mae", decoder_dim=16, decoder_depth=1, decoder_heads=2), build(encoder))
    batch = {"views": (x,)}
    params, memory = jax.eval_shape(method.init, jax.random.key(0), batch)
    value, _ = jax.eval_shape(method.loss, params, memory, batch, jax.random.key(0), jnp.int32(0))
    assert value.shape == ()


@pytest.mark.parametrize("name", METHODS)
def test_an_encoder_that_lacks_what_is_needed_is_refused_by_name(name):
    own = {option: value for option, value in METHODS[name][1].items()}
    with pytest.raises(TypeError, match=rf"encoder=models\.heads\.MLP: methods\.{name} needs an encoder that"):
        build(dict(name=f"methods.{name}", **own), build(dict(name="models.mlp")))
