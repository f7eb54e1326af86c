"""The openai package for Python, with the calls of its README and its helpers; test_frameworks.py has JavaScript's."""


def test_python(python_client):
    python_client("openai_sync.py")


def test_python_async(python_client):
    python_client("openai_async.py")
