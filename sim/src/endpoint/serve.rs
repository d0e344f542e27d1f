//! An HTTP/1.1 server over any kind of connections: real ones, or those of a simulated network.
//!
//! Connections are tasks of the world. An answer that is lost ([`Silence`]) ends its connection without a byte, as
//! a server does that died while it worked. The server puts nothing into answers that depends on real time.

use std::{error::Error, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::sleep,
};

use super::Silence;
use crate::root;

/// Longest body of a request: a hundred times the largest that an SDK sends.
const BODY_MAX: usize = 1 << 20;
/// Most connections at a time: a cluster of ten thousand nodes with a few idle ones each.
const CONNECTIONS_MAX: usize = 32_768;
/// After a failure to accept (no file descriptor left), the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
pub trait Accept: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection; cancel-safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, from) = tokio::net::TcpListener::accept(self).await?;
        // Answers are single small writes: waiting for more to send only delays them.
        stream.set_nodelay(true)?;
        Ok((stream, from))
    }
}

/// Serves until it is dropped; then connections end after the answer that they work on.
pub async fn serve<A, S, F, B>(listener: A, service: S)
where
    A: Accept,
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Silence>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (_until_dropped, stop) = watch::channel(false);
    serve_until(listener, service, stop).await;
}

/// Serves until `stop` turns true or has no sender any more; then connections end after the answer that they work
/// on.
pub async fn serve_until<A, S, F, B>(listener: A, service: S, mut stop: watch::Receiver<bool>)
where
    A: Accept,
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Silence>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = Arc::new(service);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await.expect("nobody closes this semaphore");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            next = next => next,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (service, stop) = (Arc::clone(&service), stop.clone());
        root::spawn(async move {
            connection(stream, service, stop).await;
            drop(permit);
        });
    }
}

/// Waits until there is no reason to go on: the word to stop, or nobody left to give it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _stopped = stop.wait_for(|stop| *stop).await;
}

async fn connection<S, F, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Arc<S>,
    mut stop: watch::Receiver<bool>,
) where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, Silence>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let answer = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move {
            let (parts, body) = request.into_parts();
            match Limited::new(body, BODY_MAX).collect().await {
                Ok(body) => {
                    let request = Request::from_parts(parts, body.to_bytes());
                    service(request).await.map(|response| response.map(Either::Left))
                }
                Err(error) if error.is::<LengthLimitError>() => Ok(too_large()),
                // Whoever breaks off in the middle of a body reads no answer.
                Err(_) => Err(Silence),
            }
        }
    });
    let served = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), answer);
    let mut served = pin!(served);
    // How a connection ended is the client's to notice.
    tokio::select! {
        biased;
        _ = served.as_mut() => {}
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            let _ended = served.await;
        }
    }
}

fn too_large<B>() -> Response<Either<B, Full<Bytes>>> {
    let text = format!("a body of a request has at most {BODY_MAX} bytes\n");
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}
