//! One request to the control API of a running cloud.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::command::bad::Bad;

/// What there is to say to a control API.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) kind: &'a str,
    pub(super) body: String,
}

impl<'a> Asked<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, kind: "application/json", body: String::new() }
    }
}

/// Asks, and waits for the answer. A refusal is bad input, in the words of the control API.
pub(super) fn ask(control: SocketAddr, asked: Asked<'_>) -> Result<Value, Bad> {
    let (status, body) = super::runtime()?.block_on(exchange(control, asked)).map_err(|error| {
        let message = format!("no cloud answers on {control}: {error}");
        Bad::new(message)
            .hint("`terway-sim cloud` says where its control API listens; give that as --control")
    })?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| Bad::new(format!("{control} is no control API: {error}")))?;
    if status.is_success() {
        return Ok(value);
    }
    Err(Bad::new(value["error"].as_str().unwrap_or("refused without a reason")))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(control: SocketAddr, asked: Asked<'_>) -> Result<(http::StatusCode, Bytes), Failure> {
    let stream = TcpStream::connect(control).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(asked.method)
        .uri(asked.path)
        .header("host", control.to_string())
        .header(CONTENT_TYPE, asked.kind)
        .body(Full::new(Bytes::from(asked.body)))?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    // The connection moves only while it is polled; it outlives the answer.
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = answered.as_mut() => Ok(answer?),
        ended = connection.as_mut() => {
            ended?;
            Ok(answered.await?)
        }
    }
}
