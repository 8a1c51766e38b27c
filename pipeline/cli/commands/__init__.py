"""The commands of `sealift`, one file for each that does more than call one function.

Each is imported when it runs. Owns the words on a terminal; refuses to decide what the rooms below decide.
"""
