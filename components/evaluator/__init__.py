"""Evaluator: TFMA over every eval example through the served signature, and the judgement of the result.

`analysis.py` is the pass over the records, `batched_model.py` asks the models, `batch_metrics.py` are TFMA's metrics,
`kept_answers.py` keeps what they answered for the next runs, `outcomes.py` holds each image's answers, `areas.py`
measures ROC curves, `metrics.py` is the table of metrics, `measure.py` fills it, `quality_gate.py` has the checks.
`docs/gates.md` has formulas, sources and measured error rates.
"""
