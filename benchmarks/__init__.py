"""How fast tgtrio is, beside what one would write by hand, and beside libraries.

`python -m benchmarks` runs them (`__main__`). `sections` and its two neighbours say what is
measured and which bars the figures are held against; `processes` runs each case in a fresh
`worker`; `measures` are what a worker can measure, `peers` whom, on the `graphs` of `patterns`
and `real_graphs`, with the `actions`; `report` and `picture` show what came of it. `pieces` are
benchmarks of single functions, for pytest.
"""
