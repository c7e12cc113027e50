"""Transfer: evaluators on other data than the encoder was trained on."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxssl.build import build, resolve
from jaxssl.data.source import Splits
from jaxssl.evaluators.columns import columns, declared, scoped
from jaxssl.evaluators.features import EvaluationData, NotApplicable


def transfer(
    data: EvaluationData, *, source: Splits | Mapping[str, Any], evaluators: dict, scope: str = "transfer"
) -> Callable:
    """Runs evaluators on other data, with the preprocessing of the run: `<scope>/knn/top1` and so on.

    The encoder must take the other data: set `preprocess.size` where its images are of another size.

    Args:
      source: the other data, a section as `data`, as in dict(name="data.sets.digits"), or `Splits`.
      evaluators: sections by name as in `evaluate.evaluators`, as in dict(knn=dict(name="evaluators.knn", k=5)).
      scope: under which the results stand; another one for every data set.

    Raises:
      LabelsNeeded, NotApplicable: at build time, where the other data lack what one of the evaluators needs; when run,
        where none of them has a result.
      ValueError: no evaluators.
    """
    if not evaluators:
        raise ValueError("evaluators={}: must name one or more, as in dict(knn=dict(name='evaluators.knn')).")
    other = data.of(splits_of(source))
    parts = [build(spec, other) for spec in evaluators.values()]

    def run(predict, state) -> dict[str, float]:
        results, reason = {}, None
        for evaluator in parts:
            try:
                results |= evaluator(predict, state)
            except NotApplicable as error:
                reason = error
        if reason is not None and not results:
            raise reason
        return scoped(results, scope)

    known = (
        declared(part) or declared(resolve(spec["name"])) for part, spec in zip(parts, evaluators.values(), strict=True)
    )
    return columns(*(column for part in known for column in part))(run)


def splits_of(source: Splits | Mapping[str, Any]) -> Splits:
    """The data that a section describes; data themselves as they are."""
    return build(source) if isinstance(source, Mapping) else source
