"""Evaluators: a factory takes EvaluationData and options; its `run(predict, state)` gives {name: float}."""
