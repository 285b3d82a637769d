"""What a person wants to know of a column that moved: since when, in which rows, what kind of move."""
