"""schemathesis: whatever /openapi.json allows is answered as it says, and nothing is a 5xx.

Half of the bodies name an installed model, so that more is reached than its absence; those generate two tokens at most.
What would ask a registry on the network, or take the model away, is left out.
"""

import os

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

ELSEWHERE = ("/api/pull", "/api/push", "/api/create", "/api/delete", "/api/copy")
SHORT = {"options": {"num_predict": 2}, "max_tokens": 2, "max_completion_tokens": 2, "max_output_tokens": 16, "n": 1}
SHORT |= {"best_of": 1, "stream": False}
CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
BOUNDED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def for_the_model(body, path):
    """The body with an installed model and little to generate."""
    body = {**body, "model": "smollm2", **{key: value for key, value in SHORT.items() if key in body}}
    bound = "max_tokens" if path in ("/v1/chat/completions", "/v1/completions", "/v1/messages") else "options"
    return {**body, bound: SHORT[bound]}


def statuses_of(operation):
    """Send what the description allows; the statuses that came back."""
    found = set()

    @BOUNDED
    @given(case=operation.as_strategy(), is_installed=st.booleans())
    def answered(case, is_installed):
        if is_installed and isinstance(case.body, dict):
            case.body = for_the_model(case.body, operation.path)
        response = case.call(timeout=60)
        found.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    answered()
    return found


load_all_checks()
schema = schemathesis.openapi.from_url(f"{os.environ['CORRAL_URL']}/openapi.json")
seen = set()
for described in schema.get_all_operations():
    operation = described.ok()
    if operation.path not in ELSEWHERE and not operation.path.startswith("/api/blobs"):
        seen |= {(operation.method, operation.path, status) for status in statuses_of(operation)}

assert len({path for _, path, _ in seen}) > 15
for path in ("/api/chat", "/api/generate", "/api/tokenize", "/api/show", "/v1/completions"):
    assert ("post", path, 200) in seen, sorted(seen)
    assert ("post", path, 404) in seen or ("post", path, 400) in seen, sorted(seen)
