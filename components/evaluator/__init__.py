"""Evaluator: TFMA over every eval example through the served signature, and the judgement of the result.

`analysis.py` runs TFMA, `outcomes.py` holds each image's answers, `metrics.py` is the table of metrics, `measure.py`
fills it, `statistics.py` holds the tests, `quality_gate.py` the checks. `docs/gates.md` has formulas, sources and
measured error rates.
"""
