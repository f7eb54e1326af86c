"""The families this engine knows, one module each."""

from corral_engine.architecture import Architecture
from corral_engine.architectures.bert import BERT
from corral_engine.architectures.gemma import GEMMA
from corral_engine.architectures.gemma2 import GEMMA2
from corral_engine.architectures.gemma3 import GEMMA3
from corral_engine.architectures.llama import LLAMA
from corral_engine.architectures.phi3 import PHI3
from corral_engine.architectures.qwen2 import QWEN2
from corral_engine.architectures.qwen3 import QWEN3

BUILT_IN: tuple[Architecture, ...] = (LLAMA, QWEN2, QWEN3, GEMMA, GEMMA2, GEMMA3, PHI3, BERT)
