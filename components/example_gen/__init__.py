"""ImageExampleGen: a folder of images becomes tf.Example records, with a manifest of every file."""
