"""The statistics of one comparison: what is counted of a column, what is asked of it, what chance allows."""
