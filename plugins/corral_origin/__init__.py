"""Who may call: CORS for web pages, and a check of `Host` against DNS rebinding.

CORS is specified at https://fetch.spec.whatwg.org/#http-cors-protocol.
"""
