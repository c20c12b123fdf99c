//! f64 oracles: each by another algorithm than the kernel that it judges.
