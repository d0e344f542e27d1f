//! Answers that the cloud loses: the connection ends without a byte.

use std::{fmt::Write as _, time::Duration};

use http::StatusCode;
use terway_core::cloud::Action;
use terway_sim::cloud::{CloudModel, FaultKind, FaultWindow};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::client::{ECS, Server, Signer, exchange, within};

fn impatient() -> CloudModel {
    CloudModel { timeout_ms: 50, ..CloudModel::instant() }
}

const CREATE: &[(&str, &str)] =
    &[("RegionId", "cn-sim"), ("VSwitchId", "vsw-sim-a"), ("SecurityGroupId", "sg-sim")];

#[tokio::test]
async fn a_lost_answer_closes_the_connection_and_the_eni_is_there() {
    let server = Server::with(impatient()).await;
    let lost = FaultWindow::new(FaultKind::AppliedTimeout, Duration::from_secs(60));
    let id = server.endpoint.cloud().add_window(lost);
    let request = Signer::new(&server).request(ECS, "CreateNetworkInterface", CREATE);
    let query = request.uri().query().expect("it has one").to_owned();
    let mut raw = format!("POST /?{query} HTTP/1.1\r\ncontent-length: 0\r\n");
    for (name, value) in request.headers() {
        write!(raw, "{name}: {}\r\n", value.to_str().expect("ASCII")).expect("a String takes everything");
    }
    raw.push_str("\r\n");
    let mut stream = TcpStream::connect(server.openapi).await.expect("it listens");
    stream.write_all(raw.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.expect("it is closed in order");
    assert_eq!(String::from_utf8_lossy(&answer), "", "not a byte");
    assert_eq!(server.endpoint.cloud().eni_count(), 1, "it was applied");
    server.endpoint.cloud().remove_window(id);
    assert_eq!(server.call(ECS, "CreateNetworkInterface", CREATE).await.0, StatusCode::OK);
}

#[tokio::test]
async fn no_connection_is_no_answer_either() {
    let server = Server::with(impatient()).await;
    let window = FaultWindow::new(FaultKind::Unreachable, Duration::from_secs(60));
    server.endpoint.cloud().add_window(window.on(Action::CreateNetworkInterface));
    let request = Signer::new(&server).request(ECS, "CreateNetworkInterface", CREATE);
    let error = exchange(server.openapi, request).await.expect_err("nothing comes");
    assert!(error.is_incomplete_message(), "{error:?}");
    assert_eq!(server.endpoint.cloud().eni_count(), 0);
}

#[tokio::test]
async fn an_error_that_was_applied_is_answered_with_the_clouds_request_id() {
    let server = Server::start().await;
    let window = FaultWindow::new(FaultKind::AppliedError, Duration::from_secs(60));
    server.endpoint.cloud().add_window(window);
    let (status, body) = server.call(ECS, "CreateNetworkInterface", CREATE).await;
    assert_eq!((status.as_u16(), &body["Code"]), (500, &"InternalError".into()));
    assert_eq!(server.endpoint.cloud().eni_count(), 1);
}
