"""Where to cut a score: thresholds with stated precision, what they cover, when nothing is relevant, and drift."""
