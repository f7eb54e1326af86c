"""Models on disk in Ollama's layout: content-addressed blobs, and one manifest file a model name.

The manifest is a Docker image manifest, schema 2: https://distribution.github.io/distribution/spec/manifest-v2-2/
"""
