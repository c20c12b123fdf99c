//! How far two results may part, and the comparison itself.
