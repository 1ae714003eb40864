"""Losses as pure functions of tensors: no model, no data."""

from motherlode.losses.cosent import cosent
from motherlode.losses.distillation import kl_distillation, margin_mse
from motherlode.losses.gcl import gcl
from motherlode.losses.graded_circle import graded_circle
from motherlode.losses.graded_supcon import graded_supcon
from motherlode.losses.info_nce import info_nce
from motherlode.losses.lambda_loss import lambda_loss
from motherlode.losses.multilevel_circle import LEVELS, Level, multilevel_circle, standard_levels
from motherlode.losses.ordinal import ordinal_cross_entropy
from motherlode.losses.prototype import prototype_margin
from motherlode.losses.roar import roar
from motherlode.losses.sampled_softmax import sampled_softmax
from motherlode.losses.weighted_triplet import TRIPLET_PAIRS, TripletPair, weighted_triplet

__all__ = [
    "LEVELS",
    "TRIPLET_PAIRS",
    "Level",
    "TripletPair",
    "cosent",
    "gcl",
    "graded_circle",
    "graded_supcon",
    "info_nce",
    "kl_distillation",
    "lambda_loss",
    "margin_mse",
    "multilevel_circle",
    "ordinal_cross_entropy",
    "prototype_margin",
    "roar",
    "sampled_softmax",
    "standard_levels",
    "weighted_triplet",
]
