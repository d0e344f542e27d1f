//! Answers as they are written: JSON, with the id of the request in every one.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};
use terway_core::cloud::Product;

use super::{fault::Fault, keys::seconds};

/// A result with its `RequestId`.
pub(super) fn success(mut result: Value, request_id: &str) -> Response<Full<Bytes>> {
    if let Some(fields) = result.as_object_mut() {
        fields.insert("RequestId".to_owned(), Value::from(request_id));
    }
    write(StatusCode::OK, request_id, &result)
}

/// A refusal with its id: the cloud's where it has given one, `request_id` elsewhere.
pub(super) fn refusal(
    fault: &Fault,
    request_id: &str,
    product: Product,
    region: &str,
) -> Response<Full<Bytes>> {
    let request_id = fault.request_id.as_deref().unwrap_or(request_id);
    let body = json!({
        "RequestId": request_id,
        "HostId": format!("{}.{region}.aliyuncs.com", product.code()),
        "Code": fault.code,
        "Message": fault.message,
        "Recommend": format!(
            "https://api.aliyun.com/troubleshoot?q={}&product={}&requestId={request_id}",
            fault.code,
            product.code(),
        ),
    });
    let status = StatusCode::from_u16(fault.status()).expect("statuses are of the table in `fault`");
    write(status, request_id, &body)
}

fn write(status: StatusCode, request_id: &str, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=utf-8"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-acs-request-id", id);
    }
    response
}

/// As the API writes times: to the second, in UTC.
pub(super) fn utc(time: SystemTime) -> String {
    jiff::Timestamp::from_second(seconds(time).cast_signed()).map(|time| time.to_string()).unwrap_or_default()
}
