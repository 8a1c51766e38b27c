"""Archives made: a model packed with its code, an uploaded one spliced or written anew.

Owns every byte that Sealift writes into an archive. Refuses to judge one (`archive.checks`).
"""
