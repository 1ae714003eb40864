"""Losses as pure functions of (scores, grades, mask)."""

from motherlode.losses.graded_supcon import graded_supcon

__all__ = ["graded_supcon"]
