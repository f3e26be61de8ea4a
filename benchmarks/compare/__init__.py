"""The tutorial, a plain TFX pipeline and Graft on the same images, side by side: `make bench`."""
