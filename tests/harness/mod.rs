//! The harness for process tests.
