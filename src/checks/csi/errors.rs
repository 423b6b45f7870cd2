//! Decoded errors.
