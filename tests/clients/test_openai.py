"""The openai package for Python, with the calls of its README and its helpers; test_frameworks.py has JavaScript's."""


def test_python(python_client):
    python_client("openai_sync.py")


def test_python_async(python_client):
    python_client("openai_async.py")


def test_python_embeddings(python_client):
    python_client("openai_embed.py")


def test_python_readme(python_client):
    python_client("openai_readme.py")
