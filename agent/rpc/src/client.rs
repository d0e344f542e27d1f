//! The calling side: one unary gRPC call over one stream.
//!
//! Bare HTTP/2 rather than a channel: the plugin makes one or two calls and exits, so a pool, a
//! reconnecting balancer and their tasks would only make it slow to start. The connection is driven by
//! the call that waits on it; dropping the future closes it. No task is spawned.

use std::{future::poll_fn, time::Duration};

use base64::{Engine as _, engine::general_purpose};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Version, header};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::refusal::Refusal;

/// No answer is longer: it describes one pod, or lists errors of a collection.
pub const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// gRPC status `UNIMPLEMENTED`.
const UNIMPLEMENTED: u16 = 12;

/// gRPC statuses with which a server says that it did not come to an answer: `CANCELLED` (which tonic gives when our
/// own deadline passes there first), `DEADLINE_EXCEEDED`, `UNAVAILABLE`. Whether it did what was asked is unknown.
const UNANSWERED: [u16; 3] = [1, 4, 14];

/// What can become of a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection broke, or was none.
    #[error("the connection failed: {0}")]
    Connection(#[from] h2::Error),
    /// The answer ended before its time.
    #[error("the answer to {path} ended after {got} bytes")]
    Cut {
        /// Method.
        path: &'static str,
        /// Bytes that came.
        got: usize,
    },
    /// HTTP status other than 200: whoever listens is no gRPC server.
    #[error("{path} was answered with HTTP status {status}; expected a gRPC server")]
    Http {
        /// Method.
        path: &'static str,
        /// Status.
        status: u16,
    },
    /// The answer is not one that we can read.
    #[error("cannot decode the answer to {path}: {why}")]
    Decode {
        /// Method.
        path: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The agent does not know the method: it is older than we are, or the original.
    #[error("the agent does not know {path}")]
    Unimplemented {
        /// Method.
        path: &'static str,
    },
    /// The agent did not come to an answer.
    #[error("the agent came to no answer to {path}: {text} (gRPC status {code})")]
    Unanswered {
        /// Method.
        path: &'static str,
        /// Status.
        code: u16,
        /// What it says of it.
        text: String,
    },
    /// The agent refused.
    #[error("{}", .0.text)]
    Refused(Refusal),
}

/// Makes one call and waits for its answer, for as long as the caller polls. `deadline` is told to the
/// server so that it gives up as well; keeping it is the caller's part.
pub async fn call<Q, A, T>(io: T, path: &'static str, request: &Q, deadline: Duration) -> Result<A, CallError>
where
    Q: Message,
    A: Message + Default,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = h2::client::handshake(io).await?;
    let exchange = exchange(sender, path, frame(request), deadline);
    let body = tokio::select! {
        biased;
        answer = exchange => answer?,
        closed = connection => {
            // An orderly end of the connection before the answer is no answer.
            closed?;
            return Err(CallError::Cut { path, got: 0 });
        }
    };
    decode(path, &body)
}

/// A message with its five bytes before: not compressed, and its length.
fn frame<Q: Message>(request: &Q) -> Bytes {
    let length = request.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    request.encode(&mut bytes).expect("the buffer was made for it");
    bytes.freeze()
}

async fn exchange(
    sender: h2::client::SendRequest<Bytes>,
    path: &'static str,
    body: Bytes,
    deadline: Duration,
) -> Result<Bytes, CallError> {
    let mut sender = sender.ready().await?;
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://localhost{path}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis().clamp(1, 99_999_999)))
        .header(header::USER_AGENT, concat!("terway-rs/", env!("CARGO_PKG_VERSION")))
        .body(())
        .expect("all parts are constants or digits");
    let (response, mut stream) = sender.send_request(request, false)?;
    send(&mut stream, body).await?;

    let response = response.await?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(CallError::Http { path, status });
    }
    let (head, mut incoming) = response.into_parts();
    // A refusal without a body has its status among the headers.
    if let Some(outcome) = outcome(path, &head.headers) {
        outcome?;
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(CallError::Decode { path, why: format!("it is longer than {LONGEST_ANSWER} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    let trailers = incoming.trailers().await?.unwrap_or_default();
    match outcome(path, &trailers).or_else(|| outcome(path, &head.headers)) {
        Some(outcome) => outcome.map(|()| body.freeze()),
        None => Err(CallError::Cut { path, got: body.len() }),
    }
}

/// Sends as the peer's window allows.
async fn send(stream: &mut h2::SendStream<Bytes>, mut body: Bytes) -> Result<(), CallError> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?.min(body.len()),
            // The peer has closed its side already; what it answered tells why.
            None => return Ok(()),
        };
        if room > 0 {
            let part = body.split_to(room);
            stream.send_data(part, body.is_empty())?;
        }
    }
    Ok(())
}

/// What `grpc-status` says, if it is there.
fn outcome(path: &'static str, headers: &HeaderMap) -> Option<Result<(), CallError>> {
    let status = headers.get("grpc-status")?;
    let Some(code) = status.to_str().ok().and_then(|text| text.parse::<u16>().ok()) else {
        return Some(Err(CallError::Decode { path, why: format!("`grpc-status` is {status:?}") }));
    };
    let text = headers.get("grpc-message").map(|text| percent_decode(text.as_bytes())).unwrap_or_default();
    let details = headers.get("grpc-status-details-bin").map(http::HeaderValue::as_bytes).unwrap_or_default();
    let trimmed = details.strip_suffix(b"==").or_else(|| details.strip_suffix(b"=")).unwrap_or(details);
    let details = general_purpose::STANDARD_NO_PAD.decode(trimmed).unwrap_or_default();
    Some(match code {
        0 => Ok(()),
        UNIMPLEMENTED => Err(CallError::Unimplemented { path }),
        _ if UNANSWERED.contains(&code) => Err(CallError::Unanswered { path, code, text }),
        _ if text.is_empty() => {
            Err(CallError::Refused(Refusal::read(&format!("gRPC status {code}"), &details)))
        }
        _ => Err(CallError::Refused(Refusal::read(&text, &details))),
    })
}

/// gRPC escapes everything but printable ASCII in messages. What is malformed stays as it is.
fn percent_decode(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decode<A: Message + Default>(path: &'static str, body: &[u8]) -> Result<A, CallError> {
    let malformed = |why: &str| CallError::Decode { path, why: why.to_owned() };
    let Some((head, message)) = body.split_first_chunk::<5>() else {
        return Err(CallError::Cut { path, got: body.len() });
    };
    if head[0] != 0 {
        return Err(malformed("it is compressed, which was not offered"));
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > message.len() {
        return Err(CallError::Cut { path, got: body.len() });
    }
    if length < message.len() {
        return Err(malformed("it holds more than one message"));
    }
    A::decode(message).map_err(|error| malformed(&error.to_string()))
}
