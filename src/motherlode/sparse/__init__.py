"""The learned sparse leg: term weights from any encoder, trained on grades."""
