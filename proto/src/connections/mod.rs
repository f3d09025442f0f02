//! Incoming connections: counted, bounded, and closed when they send nothing.
//!
//! - A connection that has not sent a whole request head within [`Bounds::head`] of its acceptance is closed, whatever
//!   the protocol: 0 bytes, half of a TLS or HTTP/2 greeting, half a head.
//! - A connection that has proved who it is (a token, the join secret, a pinned key) counts against its principal.
//!   Until then it counts against its address; beyond [`Bounds::per_address`] the oldest unproven one of that address
//!   is closed for the newest, so that silent connections cannot keep others out, not even from the same address.
//! - Beyond [`Bounds::max`] in all the oldest unproven one is closed; when all have proved who they are, the newest is
//!   refused.
//!
//! [`Bounded`] wraps the accepted stream, below TLS; [`Connection`] is the handle to which the layers above report what
//! they learned. Both sides of the wire use the same two. [`Lingering`] lets the other side read the last answer.

mod bounds;
mod linger;
mod register;
mod stream;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

pub use bounds::{Bounds, Full, Reason, TooMany};
pub use linger::Lingering;
pub use stream::Bounded;

use register::{Register, Unproven, subscriber};

use crate::faults;

/// Connections that were asked to close and have not closed yet, beyond [`Bounds::max`].
const LEAVING: usize = 64;

/// All connections of one listener. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Listener>);

#[derive(Debug)]
struct Listener {
    bounds: Bounds,
    register: Mutex<Register>,
    accepted: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Connections {
    /// A listener without connections yet.
    pub fn new(bounds: Bounds) -> Self {
        let listener =
            Listener { bounds, register: Mutex::default(), accepted: AtomicU64::new(0), refused: Default::default() };
        Self(Arc::new(listener))
    }

    /// The limits.
    pub fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    /// Counts an accepted connection. `address` is counted while it is unproven; `None` for a proxy that is trusted to
    /// name the address of each request.
    ///
    /// # Errors
    /// When there are too many that have proved who they are.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Connection, Full> {
        let bounds = self.0.bounds;
        let (given, address) = (address, address.map(subscriber));
        let mut register = self.0.register();
        if !unbounded() {
            if let Some(of) = address.and_then(|a| register.by_address.get(&a))
                && of.len() >= bounds.per_address
                && let Some(id) = register.oldest(of.iter().copied())
            {
                self.displace(&mut register, id);
            }
            if register.all >= bounds.max {
                let oldest = register.oldest(register.unproven.keys().copied());
                let Some(id) = oldest.filter(|_| register.all < bounds.max + LEAVING) else {
                    self.count(Reason::Full);
                    return Err(Full { count: register.all });
                };
                self.displace(&mut register, id);
            }
        }
        let id = register.next;
        register.next += 1;
        register.all += 1;
        let displaced = CancellationToken::new();
        register.unproven.insert(id, Unproven { address, sent_head: false, displace: displaced.clone() });
        if let Some(address) = address {
            register.by_address.entry(address).or_default().insert(id);
        }
        drop(register);
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(Connection(Arc::new(State {
            listener: self.0.clone(),
            id,
            address: given,
            sent_head: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            principal: OnceLock::new(),
            displaced,
        })))
    }

    /// Counts a refusal that happened elsewhere.
    pub fn count(&self, reason: Reason) {
        self.0.count(reason);
    }

    fn displace(&self, register: &mut Register, id: u64) {
        if let Some(gone) = register.proved(id) {
            gone.displace.cancel();
            self.count(Reason::Displaced);
        }
    }

    /// Connections open now, and how many of them are unproven.
    pub fn open(&self) -> (usize, usize) {
        let register = self.0.register();
        (register.all, register.unproven.len())
    }

    /// Accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Refused or closed since the start, by reason.
    pub fn refused(&self) -> [(Reason, u64); Reason::ALL.len()] {
        Reason::ALL.map(|reason| (reason, self.0.refused[reason as usize].load(Ordering::Relaxed)))
    }
}

impl Listener {
    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection, for as long as any handle or stream of it is left. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    listener: Arc<Listener>,
    id: u64,
    /// As it was accepted; `None` = a proxy's.
    address: Option<IpAddr>,
    sent_head: AtomicBool,
    proven: AtomicBool,
    principal: OnceLock<String>,
    displaced: CancellationToken,
}

impl Connection {
    /// A whole request head arrived.
    pub fn sent_head(&self) {
        if !self.0.sent_head.swap(true, Ordering::AcqRel)
            && let Some(of) = self.0.listener.register().unproven.get_mut(&self.0.id)
        {
            of.sent_head = true;
        }
    }

    /// It showed a proof without a principal: of an agent, or through a proxy.
    pub fn proved(&self) {
        if !self.0.proven.swap(true, Ordering::AcqRel) {
            self.0.listener.register().proved(self.0.id);
        }
    }

    /// It showed the token of this principal. Through a proxy several principals do; there the connection has none.
    ///
    /// # Errors
    /// When the principal has too many connections; this one then stays unproven.
    pub fn belongs_to(&self, principal: &str) -> Result<(), TooMany> {
        if self.0.address.is_some() && self.0.principal.get().is_none() {
            let mut register = self.0.listener.register();
            let count = register.by_principal.get(principal).copied().unwrap_or(0);
            if count >= self.0.listener.bounds.per_principal && !unbounded() {
                drop(register);
                self.0.listener.count(Reason::Principal);
                return Err(TooMany { count });
            }
            if self.0.principal.set(principal.to_owned()).is_ok() {
                *register.by_principal.entry(principal.to_owned()).or_default() += 1;
            }
        }
        self.proved();
        Ok(())
    }

    /// Whether it comes from a proxy that names the address of each request.
    pub fn is_proxied(&self) -> bool {
        self.0.address.is_none()
    }

    /// The address that it came from; `None` for a proxy, whose requests name theirs.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let mut register = self.listener.register();
        register.all -= 1;
        register.proved(self.id);
        if let Some(principal) = self.principal.get()
            && let Some(count) = register.by_principal.get_mut(principal)
        {
            *count -= 1;
            if *count == 0 {
                register.by_principal.remove(principal);
            }
        }
    }
}

/// The deliberate bug that switches the bounds off.
fn unbounded() -> bool {
    faults::bug("connections_unbounded")
}

#[cfg(test)]
mod tests;
