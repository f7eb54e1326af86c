"""The whole HTTP surface against its own description."""


def test_nothing_is_a_server_error(python_client):
    python_client("schemathesis_routes.py")
