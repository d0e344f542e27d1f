//! The other side: HTTP/1.1 by hyper over any stream, and what it does with its connections.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Answers requests until the other side ends the connection; `keep` says whether it may use it again.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, keep: bool) {
    let answer = |request: Request<Incoming>| async move {
        let text = format!("{} {}", request.method(), request.uri());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    };
    // Not kept: closed after the reply without saying so in it, as a server does that restarts.
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    if keep {
        let _ = connection.await;
    } else {
        let mut connection = std::pin::pin!(connection);
        // The reply is out when the connection has nothing more to do.
        tokio::select! {
            biased;
            _ = connection.as_mut() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
        }
    }
}
