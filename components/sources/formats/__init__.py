"""Containers of images: folders, archives, TFRecords and WebDataset shards."""
