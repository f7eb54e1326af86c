"""The ollama packages for Python and JavaScript, with the calls of their READMEs."""


def test_python(python_client):
    python_client("ollama_sync.py")


def test_python_async(python_client):
    python_client("ollama_async.py")


def test_python_embeddings(python_client):
    python_client("ollama_embed.py")


def test_javascript(node_client):
    node_client("ollama.mjs")
