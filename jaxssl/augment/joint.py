"""Views of several modalities of one example: each part by a recipe of its own, pieces of one time where they must be."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

# Each part's number for its random key, and the array that it needs.
PARTS = ("image", "video", "audio", "series", "points", "tokens", "table")
ARRAYS = {"table": "numbers"}


def joint(
    *,
    image: Callable | None = None,
    video: Callable | None = None,
    audio: Callable | None = None,
    series: Callable | None = None,
    points: Callable | None = None,
    tokens: Callable | None = None,
    table: Callable | None = None,
    cut: Mapping[str, int] = {},
    optional: Sequence[str] = (),
) -> Callable:
    """One recipe for each modality; a view is a dict of theirs.

    With recipes for evaluation (`augment.image.plain`, say) the result is a preprocessing: `x` is a dict.

    Args:
      image, video, audio, series, points, tokens, table: recipes, each for the arrays of that name in a batch. Where the
        batch has `audio_length`, say, that is the `length` of `audio`; else all parts share `length`.
      cut: samples or frames of a piece, by part. Before their recipes, these parts are cut at one time of the example:
        equally long pieces begin together, and a shorter one lies within a longer one. The start is uniform; with
        `cut`, `start` float32 [N] says it, as a share of where the piece could begin. Recipes then alter the piece.
      optional: parts that are left out where a batch lacks them.

    Returns:
      `augment(key, batch) -> batch` with `views`, a tuple of dicts {part: its view [N, ...]}, or `x`, a dict. What else a
      recipe adds has the part's name ahead: `video_start`, `image_boxes`. All other entries of the batch are kept.

    Raises:
      ValueError: no part, an option of a part that is not there; by `augment`, an array that the batch lacks, and recipes
        that give unequal numbers of views.
    """
    given = dict(image=image, video=video, audio=audio, series=series, points=points, tokens=tokens, table=table)
    recipes = {name: recipe for name, recipe in given.items() if recipe is not None}
    if not recipes:
        raise ValueError(f"augment.joint: no part was given; recipes for some of {', '.join(PARTS)} would be right.")
    for option, names in (("cut", cut), ("optional", optional)):
        for name in names:
            if name not in recipes:
                raise ValueError(f"augment.joint.{option}={name!r}: no such part; there are {', '.join(recipes)}.")
    for name, size in cut.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"augment.joint.cut={dict(cut)}: {name} must be an integer of at least 1.")

    def augment(key, batch):
        here = {name: recipe for name, recipe in recipes.items() if not _absent(name, batch, optional)}
        pieces = {name: _part(name, batch) for name in here}
        start = {}
        if any(name in cut for name in here):
            key, key_start = jax.random.split(key)
            pieces, start = _cut_together(key_start, pieces, {name: cut[name] for name in here if name in cut})
        rest, outputs = dict(batch), {}
        for name, recipe in here.items():
            found = recipe(jax.random.fold_in(key, PARTS.index(name)), pieces[name])
            for gone in pieces[name].keys() - found.keys():
                rest.pop(gone, None)
            rest.pop(f"{name}_length", None)
            outputs[name] = {k: v for k, v in found.items() if k not in pieces[name]}
        for name, found in outputs.items():
            rest |= {f"{name}_{k}": v for k, v in found.items() if k not in ("views", "x")}
        return rest | start | _together(outputs)

    return augment


def _absent(name, batch, optional):
    array = ARRAYS.get(name, name)
    if array not in batch and name not in optional:
        raise ValueError(f"augment.joint.{name}: the batch has no `{array}`, only {', '.join(sorted(batch))}.")
    return array not in batch


def _part(name, batch):
    """The batch as the recipe of a part sees it."""
    own = f"{name}_length"
    return {**batch, "length": batch[own]} if own in batch else dict(batch)


def _cut_together(key, pieces, sizes):
    """Pieces [N, size, ...] of the parts named in `sizes`, all of one time; {'start': float32 [N]}."""
    places = {}
    for name, size in sizes.items():
        x = pieces[name][name]
        if size > x.shape[1]:
            raise ValueError(
                f"augment.joint.cut: a piece of {size} is longer than `{name}`, {list(x.shape)}; at most {x.shape[1]} would"
                " be right."
            )
        length = jnp.minimum(jnp.asarray(pieces[name].get("length", x.shape[1])), x.shape[1]).astype(jnp.int32)
        places[name] = jnp.broadcast_to(jnp.clip(length - size, 0), x.shape[:1])
    # Drawn on the coarsest grid of starts, of which the finer ones have all points: frames and samples stay together.
    coarse = jnp.min(jnp.stack(list(places.values())), axis=0)
    step = jax.random.randint(key, coarse.shape, 0, coarse + 1)
    start = step / jnp.maximum(coarse, 1)
    made = dict(pieces)
    for name, size in sizes.items():
        at = jnp.round(start * places[name]).astype(jnp.int32)
        piece = jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, size))(pieces[name][name], at)
        made[name] = {**pieces[name], name: piece}
        if "length" in made[name]:
            made[name]["length"] = jnp.clip(made[name]["length"] - at, 0, size)
    return made, {"start": start.astype(jnp.float32)}


def _together(outputs):
    """{'views': tuple of dicts} or {'x': dict} of what the recipes give."""
    kinds = {name: "views" if "views" in found else "x" for name, found in outputs.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"augment.joint: some recipes make views, others prepare for evaluation: {kinds}.")
    if "x" in kinds.values():
        return {"x": {name: found["x"] for name, found in outputs.items()}}
    counts = {name: len(found["views"]) for name, found in outputs.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"augment.joint: the parts have unequal numbers of views, {counts}; one number would be right."
        )
    return {
        "views": tuple(
            {name: found["views"][v] for name, found in outputs.items()} for v in range(next(iter(counts.values())))
        )
    }
