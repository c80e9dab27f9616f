"""Tests of asapfn.

`unit` mirrors the package; `adapters` and `cli` run them for real; `security` has attacks,
conformance and fuzzing; `system` has servers, faults, interop and the soak; `docs` runs README;
`typing` is for type checkers; `support` is what tests share.
"""
