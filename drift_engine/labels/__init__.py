"""Labels: which predictions they are for, which of them counts, and what became of the others.

`join` matches rows of the two logs, `gathered` holds labels while logs are read, `counts` says what came of them.
"""
