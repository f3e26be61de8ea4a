"""Evaluator: every eval example through the served signature, TFMA's results, and the judgement of them.

`analysis.py` is the pass over the records, `batched_model.py` asks the models, `rows.py` makes rows of the answers, and
files of the rows (`parts.py`), `batch_metrics.py` are TFMA's metrics, `tfma_results.py` runs them and writes its files,
`kept_answers.py` keeps what they answered for the next runs, `outcomes.py` holds each image's answers, `areas.py`
measures ROC curves, `metrics.py` is the table of metrics, `measure.py` fills it, `quality_gate.py` has the checks.
`docs/gates.md` has formulas, sources and measured error rates.
"""
