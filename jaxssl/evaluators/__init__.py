"""Evaluators: a factory takes EvaluationData and options; its `run(predict, state)` gives {name: float}.

What the table of results shows of them, and in which unit, the factory declares: see `columns`.
"""
