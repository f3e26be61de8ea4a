"""The exported model: its signatures, the SavedModel as it is traced or spliced, and the proof of its features."""
