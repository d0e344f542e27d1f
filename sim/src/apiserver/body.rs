//! Response bodies: a whole document, or the stream of a watch.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::ApiServer;
use super::watch::{End, bookmark};
use crate::time;

/// The body of a response.
pub(crate) enum ApiBody {
    Whole(Option<Bytes>),
    Watch(WatchBody),
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Watch(watch) => watch.poll(cx).map(|next| next.map(|line| line.map(Frame::data))),
        }
    }
}

/// The stream of one watch; dropping it closes the watch.
pub(crate) struct WatchBody {
    server: ApiServer,
    id: u64,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    bookmark_period: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a look at the queue found.
enum Next {
    Line(Bytes),
    Lost,
    Over,
    At(Instant),
}

impl WatchBody {
    pub(super) fn new(server: ApiServer, id: u64, timeout: Duration, bookmarks: Option<Duration>) -> Self {
        let now = time::now();
        let next_bookmark = bookmarks.map(|period| now + period);
        Self { server, id, deadline: now + timeout, next_bookmark, bookmark_period: bookmarks, timer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            match self.look(cx) {
                Next::Line(line) => return Poll::Ready(Some(Ok(line))),
                Next::Over => return Poll::Ready(None),
                Next::Lost => {
                    let lost = io::Error::new(io::ErrorKind::ConnectionReset, "the API server is gone");
                    return Poll::Ready(Some(Err(lost)));
                }
                Next::At(at) => {
                    let at = time::local(at);
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
                    if timer.deadline() != at {
                        timer.as_mut().reset(at);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn look(&mut self, cx: &Context<'_>) -> Next {
        let now = time::now();
        let mut guard = self.server.lock();
        let state = &mut *guard;
        let Some(watch) = state.watches.get_mut(self.id) else { return Next::Over };
        if watch.end == Some(End::Reset) {
            state.watches.close(self.id);
            return Next::Lost;
        }
        // Both a bookmark and the end queue up behind lagging events: a
        // bookmark must never claim what was not delivered.
        let ends = watch.end.is_none() && self.deadline <= now;
        let marks = watch.end.is_none() && self.next_bookmark.is_some_and(|at| at <= now);
        if watch.bookmarks && (ends || marks) {
            let lag = state.faults.watch_lag + state.clients[watch.client].faults.watch_lag;
            watch.push(now + lag, bookmark(watch.resource, state.revision, false));
        }
        if marks {
            self.next_bookmark = self.bookmark_period.map(|period| now + period);
        }
        if ends {
            watch.end = Some(End::Closed);
        }
        match watch.queue.front() {
            Some((at, _)) if *at <= now => {
                let (_, line) = watch.queue.pop_front().expect("it has a front");
                if watch.queue.is_empty() {
                    // Back to no allocation: most watches idle most of the time.
                    watch.queue.shrink_to_fit();
                }
                Next::Line(line)
            }
            None if watch.end.is_some() => {
                state.watches.close(self.id);
                Next::Over
            }
            front => {
                let line_at = front.map(|(at, _)| *at);
                let own =
                    if watch.end.is_none() { [Some(self.deadline), self.next_bookmark] } else { [None; 2] };
                let earliest = own.into_iter().chain([line_at]).flatten().min();
                if !watch.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    watch.waker = Some(cx.waker().clone());
                }
                Next::At(earliest.unwrap_or(self.deadline))
            }
        }
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.server.lock().watches.close(self.id);
    }
}
