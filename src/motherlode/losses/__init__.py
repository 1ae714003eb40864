"""Losses as pure functions of tensors: no model, no data."""

from motherlode.losses.graded_supcon import graded_supcon
from motherlode.losses.ordinal import ordinal_cross_entropy

__all__ = ["graded_supcon", "ordinal_cross_entropy"]
