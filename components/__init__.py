"""The stages of the pipeline: TFX components of Graft and what they share."""
