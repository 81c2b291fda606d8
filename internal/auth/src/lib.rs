//! Tokens, keys and what a caller may do
