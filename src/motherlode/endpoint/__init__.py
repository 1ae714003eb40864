"""Judges behind an OpenAI-compatible endpoint: OpenAI itself, vLLM, llama.cpp and whatever speaks the same."""
