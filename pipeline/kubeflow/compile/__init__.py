"""From the one DAG to a PipelineSpec, and a compiled file read back."""
