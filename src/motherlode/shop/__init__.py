"""The generated shop: a catalogue, queries, judgements and logs whose truth is known exactly."""
