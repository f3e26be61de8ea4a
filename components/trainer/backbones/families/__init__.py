"""Families of backbones: a module each, with the uniform names of `components/trainer/backbones/family.py`."""
