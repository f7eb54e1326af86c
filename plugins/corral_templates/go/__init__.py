"""Go's text/template, as Modelfiles use it: lexer → parser → executor, and the three ways a chat is fed to it.

Language: https://pkg.go.dev/text/template
"""
