//! What goes on in a connection, so that one in which nothing does can be closed.
//!
//! A client that opens connections and asks for nothing, asks and takes no answer, or only keeps a connection of HTTP/2 alive, would else
//! take the place of others for ever.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::hub::http::Body;
use crate::hub::patience::Patience;

/// Of one connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    /// Requests that the hub works on.
    answering: usize,
    /// Answers that are on their way.
    sending: usize,
    /// When a request last came, or a piece of an answer was last taken.
    since: Instant,
}

impl Activity {
    /// Of a connection that was just made.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { answering: 0, sending: 0, since: Instant::now() })))
    }

    /// A request has come.
    pub(super) fn begins(&self) -> Answering {
        let mut state = self.state();
        state.answering += 1;
        state.since = Instant::now();
        Answering(self.clone())
    }

    /// How much longer the client is waited for; not at all is zero. While the hub works it is not the client who is waited for.
    pub(super) fn left(&self, patience: &Patience) -> Duration {
        let state = self.state();
        match (state.answering, state.sending) {
            (0, 0) => patience.idle.saturating_sub(state.since.elapsed()),
            (0, _) => patience.answer.saturating_sub(state.since.elapsed()),
            _ => patience.idle,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that the hub works on, until this is dropped.
pub(super) struct Answering(Activity);

impl Answering {
    /// The hub has an answer, whose body is on its way from now on.
    pub(super) fn sends(self, body: Body) -> Sending {
        self.0.state().sending += 1;
        Sending { body, activity: self.0.clone() }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.answering -= 1;
        state.since = Instant::now();
    }
}

/// The body of an answer on its way.
pub(super) struct Sending {
    body: Body,
    activity: Activity,
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.activity.state().since = Instant::now();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.sending -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    #[test]
    fn only_the_client_is_lost_patience_with() {
        let soon = Patience { idle: Duration::ZERO, answer: Duration::from_secs(9), ..Patience::default() };
        let late = Patience { idle: Duration::from_secs(9), answer: Duration::ZERO, ..Patience::default() };
        let activity = Activity::new();
        assert!(activity.left(&soon).is_zero() && !activity.left(&late).is_zero());
        let answering = activity.begins();
        assert!(!activity.left(&late).is_zero(), "the hub is at work");
        let sending = answering.sends(Empty::new().map_err(|never| match never {}).boxed_unsync());
        assert!(!activity.left(&soon).is_zero() && activity.left(&late).is_zero());
        drop(sending);
        assert!(activity.left(&soon).is_zero());
    }
}
