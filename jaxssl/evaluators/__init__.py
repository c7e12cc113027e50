"""Evaluators: a factory takes EvaluationData and options; its `run(predict, state)` gives {name: float}.

The factory declares the columns of the table of results and their units: see `columns`.
"""
