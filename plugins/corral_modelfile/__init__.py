"""Modelfiles: the text that says what a model is made of, and the making of it.

The format: https://docs.ollama.com/modelfile
"""

from corral_modelfile.hookspecs import Converted, Converter, Describer, ModelBuilder, ModelCheck
from corral_modelfile.inspecting import inspect, rehearse
from corral_modelfile.local_files import LocalFiles, files_for
from corral_modelfile.modelfile import Instruction, Modelfile
from corral_modelfile.parser import parse
from corral_modelfile.render import render
from corral_modelfile.request import CreateRequest

__all__ = [
    "Converted",
    "Converter",
    "CreateRequest",
    "Describer",
    "Instruction",
    "LocalFiles",
    "ModelBuilder",
    "ModelCheck",
    "Modelfile",
    "files_for",
    "inspect",
    "parse",
    "rehearse",
    "render",
]
