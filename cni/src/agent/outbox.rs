//! A connection that sends together what belongs together, and does not idle while it waits.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf},
    net::UnixStream,
};

/// Something to do while the other side works.
pub(super) type Meanwhile<'a> = Option<Box<dyn FnOnce() + 'a>>;

/// Sends with the flush, so that the agent wakes once for a handful of frames.
pub(super) struct Outbox<'a> {
    stream: BufWriter<UnixStream>,
    /// Flushes that had something to send.
    sent: u32,
    meanwhile: Meanwhile<'a>,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(stream: UnixStream, meanwhile: Meanwhile<'a>) -> Self {
        Self { stream: BufWriter::new(stream), sent: 0, meanwhile }
    }
}

/// The preface with the request's head is one, its body another: with it the agent has all that it needs.
const WHOLE: u32 = 2;

impl AsyncRead for Outbox<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() || self.sent < WHOLE {
            return polled;
        }
        let Some(meanwhile) = self.meanwhile.take() else { return polled };
        meanwhile();
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Outbox<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let full = !self.stream.buffer().is_empty();
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.sent += u32::from(full);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
