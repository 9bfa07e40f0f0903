//! The verbs do what they say.
