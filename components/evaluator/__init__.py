"""Evaluator: TFMA over every eval example through the served signature, and the judgement of the result.

`analysis.py` runs TFMA, `outcomes.py` holds what each image got, `metrics.py` is the table of metrics, `statistics.py`
the tests, `judging.py` the checks of the quality gate. `docs/gates.md` has formulas, sources and measured error rates.
"""
