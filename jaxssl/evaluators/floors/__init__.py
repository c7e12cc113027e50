"""Floors: features without training, that an encoder must beat under the same probes.

A floor is built as `floor(data, preprocess, *, options) -> predict`: `data` the EvaluationData, to fit on its training
batches where that is needed, `preprocess(key, batch)` what the encoder would see, `predict(params, memory, batch) ->
{'features': [N, D]}` called with batches as the source gives them.
"""
