"""The search API: an index behind HTTP, swapped while it is asked and changed while it is read."""
