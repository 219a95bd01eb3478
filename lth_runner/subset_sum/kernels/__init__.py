"""Inner loops compiled by numba: serial, without the interpreter lock, driven by `lth_runner.subset_sum.threads`.

Each kernel solves the instances named by `rows` and writes its answers in place. numba's on-disk cache watches the file
of the outermost function only: after an edit of `sums.py`, delete `kernels/__pycache__`.
"""
