"""Whatever fits, or nearly fits, the OpenAPI document: no answer is a 5xx, and each is as documented.

Every operation gets valid and invalid input, mostly about things that exist, once with an organization's
token and once with an application's; with the first also boundaries that the document draws, one by one.
FUZZ_EXAMPLES raises the number of examples for each, and FUZZ_BOUNDARIES=1 tries all boundaries, in place of
every sixth. `make chaos` does both.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
import pytest
import requests
import requests.auth
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.conftest import Server
from tests.kit.patience import PATIENCE

BOUNDARIES = int(os.environ.get("FUZZ_BOUNDARIES", "6"))  # one of so many
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
REAL, STRANGER = 7, 9  # of ten examples 7 are about things that exist, 2 about others, 1 has a made-up token
SEED = 20260000
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# made-up addresses get no messages: what changes endpoints has an application of its own
ENDPOINT_CHANGES = {"v1.endpoint.create", "v1.endpoint.upsert", "v1.endpoint.patch"}


@dataclass(frozen=True)
class Bearer(requests.auth.AuthBase):
    """Set last of all, because invalid input would else mostly be a missing token."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass
class Run:
    """What one kind of token is used for: the operation that it is at, and all that was answered."""

    server: Server
    client: httpx.Client
    as_application: bool
    answers: dict[str, Counter[int]] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    name: str = ""  # of the operation
    used_up: bool = False  # by the operation, when it succeeds
    last: int = 0  # status

    def __post_init__(self) -> None:
        self.shared = self.here = self.world()

    def make(self, path: str, body: dict[str, Any]) -> str:
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        made: dict[str, str] = answer.json()
        return made.get("id") or made["name"]

    def token_of(self, app: str) -> str:
        answer = self.client.post(f"/auth/app-portal-access/{app}", json={})
        return str(answer.json()["token"])

    def world(self) -> dict[str, str]:
        """Things that exist, by the names of the document's path parameters, and a token for them."""
        app = self.make("/app", {"name": "Fuzzed"})
        endpoint = self.make(f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/", "channels": ["a"]})
        kind = f"fuzz.{app}"
        schema = {"1": {"type": "object", "examples": [{"n": 1}]}}
        self.make("/event-type", {"name": kind, "description": "Fuzzed", "schemas": schema})
        body = {"eventType": kind, "payload": {"n": 1}, "channels": ["a"]}
        message = self.make(f"/app/{app}/msg", body)
        hour = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        task = self.make(f"/app/{app}/endpoint/{endpoint}/recover", {"since": hour})
        attempt = ""
        while not attempt:  # bounded by the timeout of the test
            listed = self.client.get(f"/app/{app}/attempt/msg/{message}").json()["data"]
            attempt = listed[0]["id"] if listed else ""
        return {
            "app_id": app,
            "endpoint_id": endpoint,
            "event_type_name": kind,
            "msg_id": message,
            "task_id": task,
            "inbox_id": self.make(f"/app/{app}/inbox", {}),
            "attempt_id": attempt,
            "token": self.token_of(app) if self.as_application else self.server.token,
        }

    def begin(self, operation: Any) -> None:
        """Be at this operation, with things for it."""
        self.name = operation.definition.raw["operationId"]
        self.answers.setdefault(self.name, Counter())
        self.used_up = operation.method.upper() == "DELETE" or self.name == "v1.authentication.logout"
        self.here = self.world() if self.used_up or self.name in ENDPOINT_CHANGES else self.shared
        self.last = 0

    def example(self, case: Any, luck: int, session: requests.Session) -> None:
        if luck < REAL:
            if self.used_up and 200 <= self.last < 300:
                self.here = self.world()
            about(case, self.here)
        self.ask(case, session, Bearer(self.here["token"]) if luck < STRANGER else None)

    def boundary(self, case: Any, session: requests.Session) -> None:
        place(case, self.here)
        self.ask(case, session, Bearer(self.here["token"]))

    def ask(self, case: Any, session: requests.Session, auth: Bearer | None) -> None:
        """Make one request and judge the answer."""
        answer = case.call(base_url=self.server.url, session=session, auth=auth, timeout=PATIENCE)
        self.last = answer.status_code
        self.answers[self.name][self.last] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except BaseExceptionGroup as group:
            for fault in group.exceptions:
                words = f"{fault}\n{answer.text[:500]}\n{case.as_curl_command()}"
                self.faults.setdefault((self.name, type(fault).__name__), words)


def try_out(operation: Any, organization: Run, application: Run, session: requests.Session) -> None:
    """What is drawn is tried with both tokens: the drawing takes longer than the asking."""
    runs = organization, application
    for run in runs:
        run.begin(operation)
    if not organization.used_up:
        for case in islice(boundaries(operation), 0, None, BOUNDARIES):
            organization.boundary(case, session)

    def example(case: Any, luck: int) -> None:
        for run in runs:
            run.example(case, luck, session)

    for mode in MODES:
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            drawn = given(case=strategy, luck=st.integers(0, 9))(example)
            bounded = settings(
                max_examples=EXAMPLES,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            seeded(SEED)(bounded(drawn))()
        except Exception as error:
            if type(error).__name__ not in ("Unsatisfiable", "SkipTest"):
                raise


def boundaries(operation: Any) -> Iterator[Any]:
    """What lies just within and just beyond each limit that the document sets."""
    schema = operation.schema
    config = schema.config.generation_for(operation=operation)
    return iter(schema.iter_coverage_cases(operation, generation_modes=MODES, generation_config=config))


def place(case: Any, world: dict[str, str]) -> None:
    """Let the path name things that exist."""
    if case.path_parameters:
        case.path_parameters = {name: world.get(name, value) for name, value in case.path_parameters.items()}


def about(case: Any, world: dict[str, str]) -> None:
    """Make the example be about things that exist, as far as it is of the right shape."""
    place(case, world)
    if isinstance(case.body, dict):
        body = dict(case.body)
        # words that are checked against more than the document can say
        for name, value in {
            "url": "http://127.0.0.1:9/fuzzed",
            "eventType": world["event_type_name"],
        }.items():
            if isinstance(body.get(name), str):
                body[name] = value
        for name in ("eventTypes", "filterTypes"):
            if isinstance(body.get(name), list) and body[name]:
                body[name] = [world["event_type_name"]]
        for name in ("secret", "key", "deliverAt", "since"):
            if isinstance(body.get(name), str):
                body.pop(name)
        if isinstance(case.body.get("since"), str):
            body["since"] = datetime.now(UTC).isoformat()
        case.body = body


@pytest.mark.timeout(1800)
def test_no_input_makes_the_server_fail_or_answer_otherwise_than_documented(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {"authorization": f"Bearer {server.token}"}
    with (
        httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=PATIENCE) as client,
        requests.Session() as session,
    ):
        session.trust_env = False  # looking for proxies takes longer than a request
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        organization, application = (Run(server, client, as_application=which) for which in (False, True))
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            try_out(result.ok(), organization, application, session)
    # most were really tried: an application may do 28 of them, and some luck is needed for the rarer inputs
    for run, least in ((organization, 40), (application, 24)):
        assert len(run.answers) >= 41
        total = sum((counts for counts in run.answers.values()), Counter[int]())
        good = [name for name, counts in run.answers.items() if any(200 <= code < 300 for code in counts)]
        token = "an application's" if run.as_application else "an organization's"
        with capsys.disabled():
            sys.stdout.write(
                f"\nfuzzed with {token} token: {total.total()} requests, "
                f"answers {dict(sorted(total.items()))}; "
                f"{len(good)} of {len(run.answers)} operations answered 2xx\n"
            )
        assert len(good) >= least, sorted(set(run.answers) - set(good))
        assert not run.faults, "\n\n".join(f"{key}: {words}" for key, words in run.faults.items())
        assert not any(code >= 500 for code in total)
