"""The description of every enabled HTTP route, made from the types that the routes decode and answer with.

The format is described at https://spec.openapis.org/oas/v3.1.0.
"""
