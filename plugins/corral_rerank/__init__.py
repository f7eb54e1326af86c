"""Reranking: which documents answer a query best.  POST /v1/rerank and POST /api/rerank.

The shapes are those of https://docs.cohere.com/reference/rerank and https://jina.ai/reranker, which differ in few
fields; both kinds of clients find theirs.
"""
