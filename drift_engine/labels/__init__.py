"""Labels: which predictions they are for, which of them counts, and what became of the others.

`join` matches rows of the two logs, `gathered` holds labels while logs are read, `look_back` finds those that came
late, `counts` says what came of all, `words` says it to people.
"""
