"""Rows 12 and 13 of the native API's checklist, F20 and F23: who may call."""

import json

import pytest
from aiohttp.test_utils import TestClient, TestServer

import corral_native_api.plugin
import corral_origin.plugin
from corral import ConfigError, PluginError
from corral.server import build_app
from corral.testing import doubles
from corral_origin.guard import ALLOWED_HEADERS, METHODS

PLUGINS = [doubles.Plugin, corral_native_api.plugin.Plugin, corral_origin.plugin.Plugin]


@pytest.fixture
async def serve(make_kernel):
    """`await serve(origins="…")`: a client of a server with these settings."""
    clients = []

    async def start(table=None, **settings):
        kernel = await make_kernel(PLUGINS, {"origin": table or {}}, store="memory", **settings)
        client = TestClient(TestServer(build_app(kernel)))
        clients.append(client)
        await client.start_server()
        return client

    yield start
    for client in clients:
        await client.close()


ALLOWED = [
    "http://localhost",
    "https://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8443",
    "http://0.0.0.0:1",
    "app://obsidian.md",
    "file://x",
    "tauri://localhost",
    "vscode-webview://abc",
    "vscode-file://vscode-app",
]
REFUSED = [
    "https://evil.com",
    "http://localhost.evil.com",
    "https://evil.com/http://localhost",
    "chrome-extension://abcdef",
    "moz-extension://abcdef",
    "null",
    "",
    "http://192.168.1.1",
]


async def test_row_12_local_pages_are_allowed(serve):
    client = await serve()
    for origin in ALLOWED:
        response = await client.get("/api/version", headers={"Origin": origin})
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_row_12_f23_strange_pages_are_refused(serve):
    client = await serve()
    targets = [("GET", "/api/tags"), ("POST", "/api/pull"), ("DELETE", "/api/delete"), ("OPTIONS", "/api/chat")]
    for origin in REFUSED:
        simple = {"Origin": origin, "Content-Type": "text/plain"}
        for method, path in [*targets, ("GET", "/nowhere")]:
            response = await client.request(method, path, data=b'{"model":"m"}', headers=simple)
            assert (response.status, await response.text()) == (403, "")
            assert not any(name.lower().startswith("access-control") for name in response.headers)


async def test_row_12_the_same_origin_needs_no_cors(serve):
    client = await serve()
    host = f"{client.host}:{client.port}"
    for scheme in ("http", "https"):
        response = await client.get("/api/version", headers={"Origin": f"{scheme}://{host}"})
        assert response.status == 200
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_row_12_preflight(serve):
    client = await serve()
    response = await client.options("/api/chat", headers={"Origin": "http://localhost:3000"})
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert response.headers["Access-Control-Allow-Methods"] == METHODS
    assert response.headers["Access-Control-Allow-Headers"] == ALLOWED_HEADERS
    assert response.headers["Access-Control-Max-Age"] == "43200"
    assert response.headers["Vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


async def test_row_12_cors_reaches_404_405_and_streams(serve):
    client = await serve()
    page = {"Origin": "http://localhost"}
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/api/chat", 405)):
        response = await client.request(method, path, headers=page)
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost"
    body = json.dumps({"model": "m"}).encode()
    response = await client.post("/api/pull", data=body, headers=page)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Access-Control-Allow-Origin"] == "http://localhost"


async def test_row_12_a_star_allows_all(serve):
    client = await serve(origins="https://a.example, *")
    for headers in ({"Origin": "https://evil.com"}, {"Origin": "https://a.example"}):
        response = await client.get("/api/version", headers=headers)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in response.headers
        preflight = await client.options("/api/chat", headers=headers)
        assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")


async def test_row_12_configured_origins(serve):
    client = await serve(origins="https://*.example.com,chrome-extension://abc")
    for origin, status in (
        ("https://a.example.com", 200),
        ("https://example.com", 403),
        ("chrome-extension://abc", 200),
        ("chrome-extension://abcd", 403),
        ("http://localhost", 200),
    ):
        assert (await client.get("/api/version", headers={"Origin": origin})).status == status


async def test_row_12_an_origin_that_never_matches_stops_the_boot(serve):
    for setting in ("example.com", "https://*.example.*"):
        with pytest.raises((ConfigError, PluginError), match="origins"):
            await serve(origins=setting)


HOSTS = [
    ("localhost", 200),
    ("LOCALHOST:11434", 200),
    ("127.0.0.1", 200),
    ("127.1.2.3:80", 200),
    ("[::1]:11434", 200),
    ("[::ffff:127.0.0.1]", 200),
    ("0.0.0.0", 200),
    ("192.168.1.5", 200),
    ("10.1.2.3:99", 200),
    ("172.31.0.1", 200),
    ("box.local", 200),
    ("x.localhost", 200),
    ("host.docker.internal:11434", 200),
    ("", 200),
    ("evil.com", 403),
    ("evil.com:11434", 403),
    ("localhost.evil.com", 403),
    ("evillocal", 403),
    ("172.32.0.1", 403),
    ("8.8.8.8", 403),
    ("[2001:db8::1]", 403),
]


async def test_row_13_f20_hosts_on_a_loopback_address(serve):
    client = await serve()
    for host, status in HOSTS:
        for path in ("/api/version", "/"):
            response = await client.get(path, headers={"Host": host})
            assert (host, response.status) == (host, status)
            if status == 403:
                assert await response.text() == ""


async def test_row_13_no_check_on_other_addresses(serve):
    client = await serve(host="0.0.0.0")
    assert (await client.get("/api/version", headers={"Host": "evil.com"})).status == 200
    for setting in ("localhost:1", "[::1]", "http://127.0.0.1:80"):
        client = await serve(host=setting)
        assert (await client.get("/api/version", headers={"Host": "evil.com"})).status == 403


async def test_row_13_f20_the_check_can_be_had_everywhere_with_further_names(serve):
    client = await serve({"check_host": "always", "hosts": "llm.example.com, other"}, host="0.0.0.0")
    for host, status in (("evil.com", 403), ("LLM.example.com:80", 200), ("other", 200)):
        assert (await client.get("/api/version", headers={"Host": host})).status == status
    client = await serve({"check_host": "never"})
    assert (await client.get("/api/version", headers={"Host": "evil.com"})).status == 200


async def test_row_13_options_to_a_known_name(serve):
    client = await serve()
    assert (await client.options("/api/chat", headers={"Host": "localhost"})).status == 204
    assert (await client.options("/api/chat", headers={"Host": "127.0.0.1"})).status == 405


async def test_an_unknown_check_host_stops_the_boot(make_kernel):
    with pytest.raises(PluginError, match="check_host"):
        await make_kernel(PLUGINS, {"origin": {"check_host": "perhaps"}}, store="memory")
