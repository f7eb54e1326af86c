"""The families this plugin knows, a module each."""

from corral_safetensors.families.bert import BERT
from corral_safetensors.families.gemma import GEMMA, GEMMA2, GEMMA3
from corral_safetensors.families.llama import LLAMA
from corral_safetensors.families.phi3 import PHI3
from corral_safetensors.families.qwen import QWEN2, QWEN3
from corral_safetensors.family import Family

BUILT_IN: tuple[Family, ...] = (LLAMA, QWEN2, QWEN3, GEMMA, GEMMA2, GEMMA3, PHI3, BERT)
