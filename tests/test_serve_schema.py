"""The API against its own description: generated requests, valid and not, and every answer checked."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from motherlode.serve import keys
from motherlode.serve.app import create
from serve_case import build
from serve_case import settings as settings_of

schemathesis = pytest.importorskip("schemathesis", reason="generating requests needs schemathesis")
from schemathesis.config import SchemathesisConfig  # noqa: E402 - only where it is there

EXAMPLES = 12  # of each operation


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    from starlette.testclient import TestClient

    place = tmp_path_factory.mktemp("schema")
    build(place, place / "index")
    schema = Path(place) / "serve/keys.json"
    app = create(settings_of(place))
    made = keys.make(schema, "tester", "write")
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        app.state.desk.keys.refresh()
        yield opened, {"Authorization": f"Bearer {made}"}


def test_every_operation_keeps_to_its_description(described) -> None:
    client, allowed = described
    refused = [
        "400",
        "401",
        "403",
        "404",
        "405",
        "409",
        "413",
        "414",
        "422",
        "429",
        "503",
    ]  # 414: told before it is read
    config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": refused}}})
    told = client.get("/openapi.json").json()
    for operation in (one for path in told["paths"].values() for one in path.values()):
        operation.pop("security", None)  # every request carries a key that holds; keys have tests of their own
    schema = schemathesis.openapi.from_dict(told, config=config)
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case) -> None:
            arguments = case.as_transport_kwargs(base_url="http://127.0.0.1")
            arguments.pop("cookies", None)
            if isinstance(arguments.get("data"), (bytes, str)):
                arguments["content"] = arguments.pop("data")  # what the client calls a body that is ready
            arguments["headers"] = {**arguments.get("headers", {}), **allowed}
            answer = client.request(**arguments)
            if answer.status_code == 422 and "The encoder knows no word of item" in answer.text:
                return  # no description of a title can say which words an encoder knows
            case.validate_response(answer)

        given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))(check)()
        with suppress(Unsatisfiable):  # what takes nothing can be given nothing wrong
            given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))(check)()
        seen.add((operation.method.upper(), operation.path))
    assert ("POST", "/items") in seen and ("DELETE", "/items") in seen and len(seen) == 11
