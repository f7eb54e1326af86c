"""The help pages of the prompt; all go to stderr."""

COMMANDS = """Available Commands:
  /set            Change this session
  /show           Show facts about the model
  /list           List models
  /load <model>   Talk to another model
  /save <model>   Save this session as a model
  /clear          Forget what was said
  /bye            Leave
  /?, /help       Help for a command
  /? shortcuts    Help for the keys

Begin and end a message of several lines with \"\"\".
"""
FILES = "Name an image (.jpg, .png, .webp) or sound (.wav) file in a message to send it along.\n"
SET = """Available Commands:
  /set parameter ...     Set a parameter
  /set system <string>   Set the system message
  /set history           Keep a history of messages
  /set nohistory         Keep none
  /set wordwrap          Move words that reach the edge to the next line
  /set nowordwrap        Do not
  /set format json       Answer in JSON
  /set noformat          Answer freely
  /set verbose           Show statistics after each answer
  /set quiet             Do not
  /set think [level]     Think before answering (level: low, medium, high, max)
  /set nothink           Do not
"""
SHOW = """Available Commands:
  /show info         Facts about the model
  /show license      Its license
  /show modelfile    Its Modelfile, with this session's settings
  /show parameters   Its parameters and this session's
  /show system       The system message
  /show template     The prompt template
"""
SHORTCUTS = """Available keyboard shortcuts:
  Ctrl + a, Home   To the beginning of the line
  Ctrl + e, End    To the end of the line
  Alt + b          One word left
  Alt + f          One word right
  Ctrl + k         Delete to the end of the line
  Ctrl + u         Delete to the beginning of the line
  Ctrl + w         Delete the word before the cursor
  Ctrl + j         Begin a new line
  Ctrl + l         Clear the screen
  Ctrl + g         Edit the message in your editor
  Ctrl + z         Suspend
  Ctrl + c         Stop the answer, or clear the line
  Ctrl + d         Leave
"""
PARAMETERS = """Available Parameters:
  /set parameter num_ctx <int>              Length of the context
  /set parameter num_predict <int>          Longest answer, in tokens
  /set parameter num_keep <int>             Tokens kept when the context is full
  /set parameter seed <int>                 Seed of the random numbers
  /set parameter temperature <float>        How freely to choose
  /set parameter top_k <int>                Choose among the k most likely tokens
  /set parameter top_p <float>              Choose among the most likely tokens of this probability in all
  /set parameter min_p <float>              Least probability, relative to the most likely token's
  /set parameter repeat_penalty <float>     How strongly to avoid repetition
  /set parameter repeat_last_n <int>        How far back to look for repetition
  /set parameter presence_penalty <float>   Avoid what was said already
  /set parameter frequency_penalty <float>  Avoid what was said often
  /set parameter stop <string> ...          Texts that end the answer
"""
