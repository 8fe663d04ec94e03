//! Meaning: the only layer that holds keys and sees plaintext. May use `source`, `sealed`, `store` and `model`.

pub mod restore;
