"""One typed options object a stage, and nothing that needs TensorFlow, TFX or Beam.

Unknown keys, wrong types and values out of range are refused here, once; the stages trust what they get.
Options travel to their stage as JSON (`to_json`, `from_json`), as execution property or `custom_config`.
"""
