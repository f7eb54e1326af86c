"""The anthropic packages for Python and JavaScript, with the calls of their READMEs."""


def test_python(python_client):
    python_client("anthropic_sync.py")


def test_python_async(python_client):
    python_client("anthropic_async.py")


def test_python_tool_runners(python_client):
    python_client("anthropic_runner.py")


def test_javascript(node_client):
    node_client("anthropic.mjs")


def test_javascript_tool_runner(node_client):
    node_client("anthropic_runner.mjs")
