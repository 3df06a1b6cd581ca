//! Connections that wait for a request.
//!
//! Pingora keeps some 14 KB for a request: futures, a session, a buffer to read into. While it is Pingora that waits, every open
//! connection has all of it. So a connection rests here until there is something to read, and an idle one costs 4 KB.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use crate::stream::Downstream;

/// The connections of the current thread's shard.
#[derive(Default)]
struct Resting {
    /// Nobody may wait for a request any more.
    over: bool,
    last: u64,
    connections: HashMap<u64, Waker>,
}

thread_local! {
    static RESTING: RefCell<Resting> = RefCell::default();
}

/// Ends every connection of this shard that waits for a request, now and from now on.
pub(super) fn end() {
    let connections = RESTING.with_borrow_mut(|resting| {
        resting.over = true;
        std::mem::take(&mut resting.connections)
    });
    connections.into_values().for_each(Waker::wake);
}

/// The place of one connection, for as long as it is open. It is woken by the shard's end once; what its task does then is
/// for the task to see.
#[derive(Default)]
pub(super) struct Rest {
    place: Option<u64>,
}

impl Rest {
    /// Ready with whether there is something to read, which may be the connection's end; with `false` where it is to be closed, since
    /// nothing came for too long or the shard ends. To be called by one task only.
    pub(super) fn poll(&mut self, stream: &mut Downstream, cx: &mut Context<'_>) -> Poll<bool> {
        let over = RESTING.with_borrow_mut(|resting| {
            // A task has the same waker at all times.
            self.place.get_or_insert_with(|| {
                resting.last += 1;
                resting.connections.insert(resting.last, cx.waker().clone());
                resting.last
            });
            resting.over
        });
        if over { Poll::Ready(false) } else { stream.poll_next(cx).map(|next| next.is_ok()) }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The thread may be past its end.
            let _ = RESTING.try_with(|resting| resting.borrow_mut().connections.remove(&place));
        }
    }
}
