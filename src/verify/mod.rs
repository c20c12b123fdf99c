//! Agreement: cases, comparison, report.

pub mod compare;
