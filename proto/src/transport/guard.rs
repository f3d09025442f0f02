//! Before `Hello` only `Hello` is served, and without TLS no call is: decided before a byte of the message is read.
//!
//! A caller without TLS is most likely a peer of protocol 1 whose operator does not know yet that it must be upgraded:
//! the log says so, once, since any machine can make such calls.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::{Status, body::Body, codegen::Service, server::NamedService};

use super::{channel::Session, hello::Role};
use crate::{faults, version};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Hello,
    Other,
}

/// A service behind its guard. Cheap to clone when the service is.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    role: Role,
    hello: S,
    calls: S,
    /// It was logged.
    warned: Arc<AtomicBool>,
}

impl<S> Guarded<S> {
    /// Guards the service of a side of this role; `hello` is the same one with the limit of [`super::hello::LIMIT`].
    pub fn new(role: Role, hello: S, calls: S) -> Self {
        Self { role, hello, calls, warned: Arc::default() }
    }

    fn refusal<B>(&self, request: &Request<B>, call: Call) -> Option<Status> {
        match Session::of(request.extensions()) {
            None => {
                let (me, peer) = (self.role.as_str(), self.role.other().as_str());
                let words = version::without_tls(me, peer);
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!("a call without TLS was refused, and so is each further one: {words}");
                }
                Some(Status::failed_precondition(words))
            }
            Some(session) if call == Call::Hello || session.greeted() || faults::bug("calls_before_hello") => None,
            Some(_) => {
                Some(Status::unauthenticated("say Hello first, and prove the join secret where it is asked for"))
            }
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response<Body>, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Both are the generated services, which are always ready.
        match self.hello.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.calls.poll_ready(cx),
            other => other,
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(session) = Session::of(request.extensions()) {
            session.sent_head();
        }
        let call = if request.uri().path().ends_with("/Hello") { Call::Hello } else { Call::Other };
        match self.refusal(&request, call) {
            Some(status) => Either::Left(ready(Ok(status.into_http()))),
            None if call == Call::Hello => Either::Right(self.hello.call(request)),
            None => Either::Right(self.calls.call(request)),
        }
    }
}
