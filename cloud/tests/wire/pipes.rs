//! Connections made of memory, in virtual time: what happens to them is decided here.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use terway_cloud::http::{HttpError, hyper_over};
use terway_core::spawn::spawn;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tower::Service;

use super::{post, server::serve, tasks};

/// What the other side does with a connection.
#[derive(Clone, Copy)]
enum Peer {
    /// Answers for as long as it is asked.
    Keeps,
    /// Answers once and closes.
    Closes,
    /// Reads and closes without an answer.
    Drops,
    /// Is not there.
    Refuses,
}

#[derive(Clone)]
struct Pipes {
    peer: Peer,
    made: Arc<AtomicUsize>,
    heard: Arc<AtomicUsize>,
}

impl Pipes {
    fn to(peer: Peer) -> Self {
        Self { peer, made: Arc::default(), heard: Arc::default() }
    }
}

impl Service<Uri> for Pipes {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.made.fetch_add(1, Relaxed);
        let (here, mut there) = duplex(16 << 10);
        match self.peer {
            Peer::Refuses => return ready(Err(io::ErrorKind::ConnectionRefused.into())),
            Peer::Keeps => spawn(&tasks(), "server", serve(there, true)),
            Peer::Closes => spawn(&tasks(), "server", serve(there, false)),
            Peer::Drops => {
                let heard = self.heard.clone();
                spawn(&tasks(), "server", async move {
                    let mut buffer = [0; 4096];
                    if there.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        heard.fetch_add(1, Relaxed);
                    }
                });
            }
        }
        ready(Ok(Pipe(TokioIo::new(here))))
    }
}

struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_until_it_was_idle_for_half_a_minute() {
    let pipes = Pipes::to(Peer::Keeps);
    let http = hyper_over(pipes.clone(), tasks());
    for _ in 0..5 {
        let reply = http.send(post("http://ecs/?a=b")).await.expect("answered");
        assert_eq!(reply.body(), "POST /?a=b");
        pass(20).await;
    }
    assert_eq!(pipes.made.load(Relaxed), 1);
    pass(31).await;
    http.send(post("http://ecs/")).await.expect("answered");
    assert_eq!(pipes.made.load(Relaxed), 2);
    // Another host, another connection; it does not cost the first one.
    http.send(post("http://vpc/")).await.expect("answered");
    http.send(post("http://ecs/")).await.expect("answered");
    assert_eq!(pipes.made.load(Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn calls_at_once_have_a_connection_each() {
    let pipes = Pipes::to(Peer::Keeps);
    let http = hyper_over(pipes.clone(), tasks());
    let (one, two) = tokio::join!(http.send(post("http://ecs/1")), http.send(post("http://ecs/2")));
    assert_eq!(
        (one.expect("answered").body(), two.expect("answered").body()),
        (&"POST /1".into(), &"POST /2".into())
    );
    assert_eq!(pipes.made.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_the_peer_closed_costs_no_call() {
    let pipes = Pipes::to(Peer::Closes);
    let http = hyper_over(pipes.clone(), tasks());
    for _ in 0..3 {
        http.send(post("http://ecs/")).await.expect("answered, over a new connection");
        pass(1).await;
    }
    assert_eq!(pipes.made.load(Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_answered_is_not_sent_again() {
    let pipes = Pipes::to(Peer::Drops);
    let error = hyper_over(pipes.clone(), tasks()).send(post("http://ecs/")).await.expect_err("no answer");
    assert!(matches!(error, HttpError::Broken { .. }) && !error.unsent(), "{error:?}");
    assert_eq!((pipes.made.load(Relaxed), pipes.heard.load(Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_there_is_known_not_to_have_heard_anything() {
    let pipes = Pipes::to(Peer::Refuses);
    let error = hyper_over(pipes, tasks()).send(post("http://ecs:81/")).await.expect_err("nobody");
    assert!(error.unsent());
    assert_eq!(error.to_string(), "can not connect to ecs:81");
}
