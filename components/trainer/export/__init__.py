"""The exported model: SavedModel with its signatures, TensorFlow Lite, and the parity proof."""
