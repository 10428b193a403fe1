//! CPU kernels for the few ops that decide the time of a step on `flex`.
