"""What requests hold and answers look like: checked on the way in, described in OpenAPI."""

# No postponed annotations here: FastAPI reads them.

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from motherlode.index.changes import LONGEST_ID
from motherlode.serve.settings import BATCH_ITEMS, LONGEST, MOST

Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Words = Annotated[str, Field(max_length=LONGEST)]
Results = Annotated[int, Field(ge=1, le=MOST, description="results")]
Name = Annotated[str | None, Field(max_length=100, description="which index; none is the first one served")]
Condition = Annotated[str, Field(min_length=3, max_length=600, pattern=r"^[^:]*[^:\s][^:]*:(.|\n)*\S")]
Conditions = Annotated[
    list[Condition],
    Field(
        max_length=20,
        description="brand:Acme, taxonomy:Home/Tools, price:10..50, or attribute:value for any other name",
    ),
]
Text = Annotated[str | None, Field(max_length=20_000)]


def _form(**example: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class Search(BaseModel):
    """A search."""

    model_config = _form(q="red office chair", k=10, filter=["brand:Ergonia"])

    q: Annotated[Words, Field(description="what a customer typed", examples=["red office chair"])]
    k: Results = 10
    mode: Annotated[
        Literal["hybrid", "dense", "lexical", "sparse"],
        Field(description="all legs in one list, or one of those that the index has"),
    ] = "hybrid"
    grade: Annotated[int, Field(ge=0, le=2, description="least stratum shown; needs thresholds")] = 0
    explain: Annotated[bool, Field(description="tell the legs' own scores and ranks")] = False
    filter: Conditions = []
    index: Name = None


class Similar(BaseModel):
    """A search for what is like an item."""

    model_config = _form(item_id="i00000083", like="red")

    item_id: Annotated[Id, Field(examples=["i00000083"])]
    like: Annotated[Words, Field(description="words that results must fit as well", examples=["red"])] = ""
    k: Results = 10
    explain: bool = False
    filter: Conditions = []
    index: Name = None


class Recommend(BaseModel):
    """A user by id, or the items somebody took, oldest first; these are what counts where both are given."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"history": ["i00000083", "i00000813"], "k": 10}],
            "anyOf": [
                {"required": ["user_id"], "properties": {"user_id": {"type": "string"}}},
                {"required": ["history"], "properties": {"history": {"minItems": 1}}},
            ],
        },
    )

    user_id: Id | None = None
    history: Annotated[list[Id], Field(max_length=1_000)] = []
    k: Results = 10
    index: Name = None


class Attribute(BaseModel):
    """One of an item's attributes."""

    model_config = _form(name="colour", value="red")

    name: Annotated[str, Field(max_length=200)]
    value: Annotated[str | None, Field(max_length=2_000)]


class Item(BaseModel):
    """A record of the catalogue."""

    model_config = _form(item_id="new-1", title="Red office chair", taxonomy=["Office", "Furniture"], brand="Acme")

    item_id: Id
    title: Annotated[str, Field(min_length=1, max_length=2_000)]
    taxonomy: Annotated[list[Annotated[str, Field(max_length=500)]] | None, Field(max_length=20)] = None
    brand: Annotated[str | None, Field(max_length=500)] = None
    attributes: Annotated[list[Attribute] | None, Field(max_length=200)] = None
    description: Text = None
    image: Annotated[str | None, Field(max_length=2_000)] = None


class Upsert(BaseModel):
    """Items to add, or to put in the place of those of the same ids."""

    model_config = _form(items=[{"item_id": "new-1", "title": "Red office chair", "taxonomy": ["Office", "Furniture"]}])

    items: Annotated[list[Item], Field(min_length=1, max_length=BATCH_ITEMS)]
    index: Name = None


class Delete(BaseModel):
    """Items to drop; ids that are not there are no error."""

    model_config = _form(item_ids=["new-1"])

    item_ids: Annotated[list[Id], Field(min_length=1, max_length=BATCH_ITEMS)]
    index: Name = None


class Grade(BaseModel):
    """A person's verdict on a query and an item."""

    model_config = _form(query="red office chair", item_id="i00000083", grade=2)

    query: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    item_id: Id
    grade: Annotated[int, Field(ge=0, le=2)]
    index: Name = None


class Hit(BaseModel):
    """One result. Strata are of a query's cosine: null without thresholds, and where no query was asked."""

    rank: int
    item_id: str
    title: str
    brand: str | None
    taxonomy: list[str]
    image: str | None
    score: float
    grade: int | None = Field(description="stratum by the thresholds of the index")
    expected_precision: float | None = Field(description="share of items with such a score that are of grade 1 or 2")
    dense: float | None = Field(description="cosine; told where explain is true, as are the five below")
    lexical: float | None
    sparse: float | None
    dense_rank: int | None
    lexical_rank: int | None
    sparse_rank: int | None


class Version(BaseModel):
    """The version of an index that an answer is of."""

    name: str
    version: int


class Found(BaseModel):
    """An answer to a search."""

    request_id: str
    took_ms: float
    query: str
    index: Version
    nothing_relevant: bool = Field(description="no result reaches the threshold of grade 1, or there is none")
    hits: list[Hit]


class Upserted(BaseModel):
    """On disk and served when this is answered."""

    request_id: str
    upserted: int
    version: int = Field(description="the version in which they appear")


class Deleted(BaseModel):
    """On disk and served when this is answered."""

    request_id: str
    deleted: int = Field(description="of the ids, those that are gone now, the ones that were never there included")
    version: int = Field(description="the version in which they are gone")


class Graded(BaseModel):
    """In the ledger when this is answered."""

    request_id: str
    query_id: str
    grade: int


class Wrong(BaseModel):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class Failure(BaseModel):
    """Every answer that is no answer."""

    error: Wrong
