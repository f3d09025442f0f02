//! Where a request came from, for the audit log.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::ids::RunId;

/// Most runs of one request that are told apart.
const READ: usize = 256;

/// Where a request came from; empty for what the gateway does by itself. It says nothing about who a caller is, so all are
/// equal. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RequestOrigin(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    address: Option<IpAddr>,
    request: String,
    token: Option<String>,
    read: Mutex<Vec<RunId>>,
}

impl RequestOrigin {
    /// A request of this client's address, with a name of its own and the name of the token that it showed.
    pub fn new(address: Option<IpAddr>, request: String, token: Option<String>) -> Self {
        Self(Some(Arc::new(Inner { address, request, token, read: Mutex::default() })))
    }

    /// The client's address, where it is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.as_ref()?.address
    }

    /// The request's name; `None` = the gateway's own doing.
    pub fn request(&self) -> Option<&str> {
        self.0.as_ref().map(|inner| inner.request.as_str())
    }

    /// The name of the token.
    pub fn token(&self) -> Option<&str> {
        self.0.as_ref()?.token.as_deref()
    }

    /// Whether this is the request's first look at a run: a stream looks at it for every piece.
    pub fn reads_first(&self, run: RunId) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut read = inner.read.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !read.contains(&run) && read.len() < READ;
        if first {
            read.push(run);
        }
        first
    }
}

impl PartialEq for RequestOrigin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RequestOrigin {}

impl Hash for RequestOrigin {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
