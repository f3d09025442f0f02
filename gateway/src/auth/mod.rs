//! Authentication: bearer tokens, the principals they stand for, and the hosts and web pages that may send requests.
//!
//! One layer, [`gate`], stands in front of everything. It checks `Host` and `Origin`, then turns the bearer token into
//! an [`Identity`](crate::model::Identity) in the request's extensions; the handlers behind it need only that. Another way to authenticate
//! (OAuth, client certificates) replaces this layer and nothing else.

pub mod credentials;
pub mod gate;
pub mod handles;
pub mod known_tokens;
pub mod lasting;
pub mod origin;
pub mod routes;
pub mod token;
pub mod token_uses;

pub use gate::{Gate, Mode};
