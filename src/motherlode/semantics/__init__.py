"""The views of an item in one space, and the two-level codes that items with like views share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

if TYPE_CHECKING:
    from motherlode.semantics.alignment import Aligned
    from motherlode.semantics.alignment_fit import fit_alignment
    from motherlode.semantics.alignment_report import measure_alignment
    from motherlode.semantics.behaviour import behaviour_view
    from motherlode.semantics.co_interaction import co_interaction_pairs
    from motherlode.semantics.codebooks import CascadedCodebooks
    from motherlode.semantics.codes import Codes
    from motherlode.semantics.controls import label_codes, random_codes_like
    from motherlode.semantics.inspect_codes import describe_codes
    from motherlode.semantics.label_sets import code_labels
    from motherlode.semantics.lightgcn import LightGCNSettings, lightgcn_view
    from motherlode.semantics.semantic_ids import read_semantic_ids, semantic_id_table, write_semantic_ids
    from motherlode.semantics.views import Views
    from motherlode.semantics.vq_backend import CascadedQuantiser, VQSettings

__all__ = [
    "Aligned",
    "CascadedCodebooks",
    "CascadedQuantiser",
    "Codes",
    "LightGCNSettings",
    "VQSettings",
    "Views",
    "behaviour_view",
    "co_interaction_pairs",
    "code_labels",
    "describe_codes",
    "fit_alignment",
    "label_codes",
    "lightgcn_view",
    "measure_alignment",
    "random_codes_like",
    "read_semantic_ids",
    "semantic_id_table",
    "write_semantic_ids",
]

_HOME = {
    "Aligned": "alignment",
    "CascadedCodebooks": "codebooks",
    "CascadedQuantiser": "vq_backend",
    "Codes": "codes",
    "LightGCNSettings": "lightgcn",
    "VQSettings": "vq_backend",
    "Views": "views",
    "behaviour_view": "behaviour",
    "code_labels": "label_sets",
    "co_interaction_pairs": "co_interaction",
    "fit_alignment": "alignment_fit",
    "describe_codes": "inspect_codes",
    "label_codes": "controls",
    "lightgcn_view": "lightgcn",
    "measure_alignment": "alignment_report",
    "random_codes_like": "controls",
    "read_semantic_ids": "semantic_ids",
    "semantic_id_table": "semantic_ids",
    "write_semantic_ids": "semantic_ids",
}

__getattr__ = lazily(__name__, _HOME)
