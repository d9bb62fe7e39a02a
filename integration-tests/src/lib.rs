//! Clara as a whole, on real servers. The tests are in `tests/all`.
