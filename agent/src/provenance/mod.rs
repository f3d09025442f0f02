//! What a run was made with and from: Stata's version, seeds, data files and packages, with digests. It is found out when
//! the gateway asks, after the end, so that neither the verdict nor the duration waits for it.
//!
//! [`facts`] says what Stata told, [`data`] which data files the log names, [`packages`] what is installed. A file of which
//! neither length nor times have changed is not read again ([`digests`]): most runs of a project read the same ones.

pub(crate) mod data;
mod digests;
pub(crate) mod facts;
pub(crate) mod packages;

pub(crate) use digests::Digests;
