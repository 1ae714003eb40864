"""The six tables and their Arrow schemas. Ids are the keys, never texts."""

import pyarrow as pa

ATTRIBUTES = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))

CATALOGUE = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("taxonomy", pa.list_(pa.string())),  # root first: ["Home", "Kitchen", "Pans"]
        pa.field("brand", pa.string()),
        pa.field("attributes", ATTRIBUTES),
        pa.field("description", pa.string()),
        pa.field("image", pa.string()),  # a reference: URL or path
    ]
)

QUERIES = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("locale", pa.string()),
        pa.field("frequency", pa.int64()),
    ]
)

JUDGEMENTS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("grade", pa.int8(), nullable=False),  # 2 relevant, 1 moderately relevant, 0 irrelevant
        pa.field("source", pa.string()),  # human, grader, mined, synthetic, planted ...
        pa.field("confidence", pa.float32()),
        pa.field("rating", pa.float32()),  # mean of several raters, on the scale of the grades (0 .. 2)
        pa.field("grader", pa.string()),  # name and version of who judged
        pa.field("rubric", pa.string()),  # version of the written policy
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)

ENGAGEMENT = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("impressions", pa.int64()),
        pa.field("clicks", pa.int64()),
        pa.field("adds", pa.int64()),
        pa.field("purchases", pa.int64()),
        pa.field("position", pa.float32()),  # mean place on the page over the impressions, from 1
    ]
)

INTERACTIONS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC")),  # null where unknown: then row order is time order
        pa.field("event", pa.string()),
    ]
)

FEATURES = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("view", pa.string(), nullable=False),  # text, image, behaviour ...
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    "catalogue": CATALOGUE,
    "queries": QUERIES,
    "judgements": JUDGEMENTS,
    "engagement": ENGAGEMENT,
    "interactions": INTERACTIONS,
    "features": FEATURES,
}

GRADES = (0, 1, 2)
