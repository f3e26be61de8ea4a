"""Encoded images: whether one is whole, what TensorFlow makes of it, and a PNG where it reads wrongly."""
