//! The model: the values that several parts of the gateway share. It depends on no other part of the gateway.

mod principal;

pub use principal::{Identity, Scope, UnknownScope};
