"""A GGUF file's header: what it says, what it is for, and what llama.cpp wants of it before it reads a tensor.

Owns the parser and the lists generated from llama.cpp's own source. Refuses to know where a file lies.
"""
