"""The commands: one file a noun, each imported only when it is called.

May import everything but `testing`. Start in `main.py`.
"""
