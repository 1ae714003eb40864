"""Stage `views`: what is known of every item beside its id, as vectors of one space."""

from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.errors import SettingError
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.recommend.holdout import Split
    from motherlode.semantics.views import Views
    from motherlode.stages.shop_texts import ShopTexts

VIEWS, HEADS, REPORT = "views/views.safetensors", "views/heads", "views/views.json"
BEHAVIOUR, TEXT = "behaviour", "text"
MEASURED = 0.1  # share of the items that the alignment is measured on and does not learn from


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    import shutil

    from safetensors.numpy import save_file

    from motherlode.atomic import replacing, write_json
    from motherlode.semantics.alignment_fit import fit_alignment
    from motherlode.semantics.alignment_report import measure_alignment
    from motherlode.stages.sequences import load_split
    from motherlode.stages.shop_texts import ShopTexts

    views = gather(workspace, recipe, ShopTexts(workspace, recipe), load_split(workspace))
    report: dict[str, Any] = {"alignment": None}
    heads = workspace / HEADS
    shutil.rmtree(heads, ignore_errors=True)
    if len(views.names) > 1:
        order = np.random.default_rng([recipe.seed, len(views)]).permutation(len(views))
        apart, learnt = np.split(order, [round(MEASURED * len(views))])
        aligned = fit_alignment(
            views.take(np.sort(learnt)), recipe.views.width, epochs=recipe.views.epochs, seed=recipe.seed
        )
        aligned.save(heads)
        report["alignment"] = measure_alignment(aligned, views.take(np.sort(apart)), recipe.seed)
        given, views = views, aligned.transform(views)
        report["given widths"] = {name: given.vectors[name].shape[1] for name in given.names}
    tensors: dict[str, np.ndarray] = {f"{name} vectors": array for name, array in views.vectors.items()}
    tensors |= {f"{name} present": mask for name, mask in views.present.items()}
    with replacing(workspace / VIEWS) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, temporary)
    report |= {
        "names": views.names,
        "present": {name: float(mask.mean()) for name, mask in views.present.items()},
        "without any": int((~views.any_present()).sum()),
        "fingerprint": views.fingerprint(),
    }
    write_json(workspace / REPORT, report)
    return {name: report[name] for name in ("names", "present", "fingerprint")}


def gather(workspace: Workspace, recipe: Recipe, shop: "ShopTexts", split: "Split") -> "Views":
    """The chosen views as they come: behaviour of training events, text, and what the features table holds.

    A view `text` of the features table is used as it is; without one the recipe's encoder, untrained, reads the item
    texts. A view `behaviour` of that table is passed over: it may have seen what the test asks for.
    """
    import polars as pl

    from motherlode.semantics.behaviour import behaviour_view
    from motherlode.semantics.views import Views

    tables, chosen = shop.tables, recipe.views
    given: set[str] = set()
    if tables.has("features"):
        given = set(pl.scan_parquet(tables.path("features")).select(pl.col("view").unique()).collect()["view"])
    known = [TEXT, BEHAVIOUR, *sorted(given - {TEXT, BEHAVIOUR})]
    names = list(dict.fromkeys(known if chosen.names is None else chosen.names))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"names '{unknown[0]}'" if unknown else "is empty"
        raise SettingError(f"views.names {what}: the views of these tables are {', '.join(known)}.")
    vectors, present = {}, {}
    read = [name for name in names if name in given and name != BEHAVIOUR]
    if read:
        stored = Views.from_tables(tables, shop.item_ids.to_list(), read)
        vectors, present = dict(stored.vectors), dict(stored.present)
    if BEHAVIOUR in names:
        train = split.train
        every = np.ones(len(train.items), bool)
        vectors[BEHAVIOUR], present[BEHAVIOUR] = behaviour_view(
            train.users, train.items, every, train.n_items, chosen.width, recipe.seed
        )
    if TEXT in names and TEXT not in given:
        vectors[TEXT] = _texts(workspace, recipe, shop)
        present[TEXT] = np.ones(len(vectors[TEXT]), bool)
    return Views.from_arrays({name: vectors[name] for name in names}, present)


def _texts(workspace: Workspace, recipe: Recipe, shop: "ShopTexts") -> np.ndarray:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.towers import two_tower

    texts, chosen = shop.all_texts(), recipe.encoder
    model = two_tower(
        chosen.base, texts.to_pylist(), dim=chosen.dim, untied=chosen.untied, max_tokens=chosen.max_tokens
    )
    return np.asarray(encode(model, texts, "document", workspace / "vectors", "encoding the item texts"))


def load_views(workspace: Workspace) -> "Views":
    """The views as the stage wrote them: of one space, in their order."""
    from safetensors.numpy import load_file

    from motherlode.semantics.views import Views

    tensors, names = load_file(workspace / VIEWS), workspace.facts("views")["names"]
    return Views(
        {name: tensors[f"{name} vectors"] for name in names}, {name: tensors[f"{name} present"] for name in names}
    )


def settings(recipe: Recipe) -> dict[str, Any]:
    found = {"seed": recipe.seed, "views": recipe.views.model_dump(mode="json")}
    if recipe.views.names is None or TEXT in recipe.views.names:
        found |= {name: getattr(recipe, name).model_dump(mode="json") for name in ("text", "encoder")}
    return found


STAGE = Stage("views", ("data", "sequences"), settings, work, (VIEWS, REPORT))
