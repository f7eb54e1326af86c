"""Text to token ids and back: byte-level BPE, SentencePiece BPE, WordPiece and Unigram.

The vocabularies are GGUF's `tokenizer.*` keys (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) or a
Hugging Face `tokenizer.json` (https://huggingface.co/docs/tokenizers); BPE and Unigram run in the `tokenizers` library.
"""

from corral_tokenizers.plugin import Plugin

__all__ = ["Plugin"]
