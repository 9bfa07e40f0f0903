//! Checkers see what they look for, and nothing else.
