"""The stages of the pipeline: TFX components of Graft and what they share."""

from components.process import streams, surroundings

streams.arrange()
surroundings.decide()
