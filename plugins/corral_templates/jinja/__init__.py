"""Jinja chat templates, as Hugging Face models and GGUF files carry them, rendered in a process of their own.

Language: https://jinja.palletsprojects.com/en/stable/templates/
Inputs: https://huggingface.co/docs/transformers/main/en/chat_templating_writing
"""
