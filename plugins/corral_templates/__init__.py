"""Prompt templates: Go's, as Modelfiles write them, and Jinja's, as weight files carry them; parsers of the answers.

Languages: https://pkg.go.dev/text/template, https://jinja.palletsprojects.com/en/stable/templates/
"""

from corral_templates.detect import Detected, detect
from corral_templates.output.family import Answer, OutputFamily
from corral_templates.plugin import Plugin
from corral_templates.select import Choice, choose

__all__ = ["Answer", "Choice", "Detected", "OutputFamily", "Plugin", "choose", "detect"]
