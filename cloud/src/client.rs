//! The port [`Cloud`] over HTTPS: one method, one action, one request on the wire.
//!
//! Only what no caller could do better is tried again: a request whose temporary key had just ended, with
//! the next key; one whose nonce was taken, with another. Whether a call that failed otherwise is made
//! again is for the caller, who knows what it is for. Two deadlines bound all of it: one for each try,
//! and one for the call.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response, header::RETRY_AFTER};
use terway_core::{
    address::AddressSet,
    cloud::{
        Action, Assign, Cloud, CloudError, CreateEni, CreateRoute, Eni, EniFilter, Page, RetryClass,
        RouteEntry, RouteTable, SecurityGroup, VSwitch, VSwitchFilter,
    },
    entropy::Entropy,
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VpcId},
    limits::InstanceLimits,
    time::Clock,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    credentials::{Credentials, CredentialsError, CredentialsProvider},
    endpoints::Endpoints,
    gzip::unpack,
    http::{Http, HttpError, chain},
    reply::{self, DecodeError},
    request::{self, Request},
    secret::Secret,
};

/// How long a try may take: the slowest actions answer within a few seconds, and the vendor's SDKs wait
/// this long.
pub const TRY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a call may take: two full tries, and new credentials between them.
pub const TOTAL_DEADLINE: Duration = Duration::from_secs(25);
/// Code of a call for which there were no credentials.
pub const NO_CREDENTIALS: &str = "CredentialsUnavailable";

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sent with each request.
    pub region: Arc<str>,
    /// Where the products are.
    pub endpoints: Endpoints,
    /// Bound of a try.
    pub try_deadline: Duration,
    /// Bound of a call with all of its tries.
    pub total_deadline: Duration,
}

impl Settings {
    /// Settings with the usual deadlines.
    pub fn new(region: impl Into<Arc<str>>, endpoints: Endpoints) -> Self {
        let (try_deadline, total_deadline) = (TRY_DEADLINE, TOTAL_DEADLINE);
        Self { region: region.into(), endpoints, try_deadline, total_deadline }
    }
}

/// A client of the API. Cheap to share; all methods may be called at once.
pub struct Client {
    http: Arc<dyn Http>,
    credentials: Arc<dyn CredentialsProvider>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Client {
    /// A client. Dates come from the clock, nonces from the entropy.
    pub fn new(
        http: Arc<dyn Http>,
        credentials: Arc<dyn CredentialsProvider>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
    ) -> Self {
        Self { http, credentials, clock, entropy, settings }
    }

    fn region(&self) -> &str {
        &self.settings.region
    }

    async fn call<T>(
        &self,
        request: Request<'_>,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, CloudError> {
        let (action, query) = (request.action(), request.query());
        let deadline = Instant::now() + self.settings.total_deadline;
        let (mut renewed, mut renonced) = (false, false);
        loop {
            let credentials = self.credentials_by(deadline, action).await?;
            let result = self.attempt(action, &query, &credentials, deadline).await;
            let error =
                match result.and_then(|body| decode(&body).map_err(|error| error.of_call(action, &body))) {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
            tracing::debug!(%action, code = error.code, request_id = error.request_id, "call refused");
            match error.code.as_str() {
                "InvalidSecurityToken.Expired" if !renewed => {
                    renewed = true;
                    self.credentials.expired(&credentials);
                }
                "SignatureNonceUsed" if !renonced => renonced = true,
                _ => return Err(unsecret(error, &credentials)),
            }
        }
    }

    async fn credentials_by(
        &self,
        deadline: Instant,
        action: Action,
    ) -> Result<Arc<Credentials>, CloudError> {
        match timeout_at(deadline, self.credentials.credentials()).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(no_credentials(action, &error)),
            Err(_) => {
                let total = self.settings.total_deadline;
                let message = format!("no credentials within {} s", total.as_secs_f64());
                Err(CloudError::from_code(action, "Timeout", &message, "-"))
            }
        }
    }

    /// One request and its reply, unpacked.
    async fn attempt(
        &self,
        action: Action,
        query: &str,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Bytes, CloudError> {
        let fail = |code, message: &str| CloudError::from_code(action, code, message, "-");
        let endpoint = self.settings.endpoints.of(action.product());
        let signed = request::signed(endpoint, action, query, credentials, &self.date(), &self.nonce());
        let request =
            signed.map_err(|error| fail(NO_CREDENTIALS, &format!("no request can be made: {error}")))?;
        let start = Instant::now();
        let until = deadline.min(start + self.settings.try_deadline);
        let response = match timeout_at(until, self.http.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(fail(code_of(&error), &chain(&error))),
            Err(_) => {
                let waited = (until - start).as_secs_f64();
                return Err(fail("Timeout", &format!("{endpoint} gives no answer within {waited} s")));
            }
        };
        read(action, response)
    }

    fn date(&self) -> String {
        let since = self.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs().min(jiff::Timestamp::MAX.as_second().cast_unsigned());
        jiff::Timestamp::from_second(seconds.cast_signed()).unwrap_or_default().to_string()
    }

    fn nonce(&self) -> String {
        format!("{:016x}{:016x}", self.entropy.next_u64(), self.entropy.next_u64())
    }
}

fn read(action: Action, response: Response<Bytes>) -> Result<Bytes, CloudError> {
    let (head, body) = response.into_parts();
    let unreadable = |error| {
        let message = format!("HTTP {}: {error}", head.status.as_u16());
        CloudError::from_code(action, "Unreachable", &message, "-")
    };
    let body = unpack(&head.headers, body).map_err(unreadable)?;
    if head.status.is_success() {
        return Ok(body);
    }
    let error = reply::failure(action, head.status.as_u16(), &body);
    Err(CloudError { retry_after: retry_after(&head.headers), ..error })
}

/// Seconds; dates, which the header may have as well, are not given by this API.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

/// A reply that stays out is not the same as a peer that is not there, for whoever reads it.
fn code_of(error: &HttpError) -> &'static str {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::TimedOut
        {
            return "Timeout";
        }
        cause = error.source();
    }
    "Unreachable"
}

fn no_credentials(action: Action, error: &CredentialsError) -> CloudError {
    let class = if error.transient() { RetryClass::Transient } else { RetryClass::Fatal };
    CloudError { class, ..CloudError::from_code(action, NO_CREDENTIALS, &error.to_string(), "-") }
}

/// The API quotes what it was sent: of a signature that does not match, all signed headers.
fn unsecret(mut error: CloudError, credentials: &Credentials) -> CloudError {
    let token = credentials.token.as_ref();
    for secret in token.into_iter().chain([&credentials.secret]).map(Secret::expose) {
        if !secret.is_empty() && error.message.contains(secret) {
            error.message = error.message.replace(secret, "<secret>");
        }
    }
    error
}

#[async_trait]
impl Cloud for Client {
    async fn create_eni(&self, request: &CreateEni) -> Result<Eni, CloudError> {
        self.call(request::create_eni(self.region(), request), reply::create_eni).await
    }

    async fn attach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        self.call(request::attach_eni(self.region(), eni, instance), reply::done).await
    }

    async fn detach_eni(&self, eni: &EniId, instance: &InstanceId) -> Result<(), CloudError> {
        self.call(request::detach_eni(self.region(), eni, instance), reply::done).await
    }

    async fn delete_eni(&self, eni: &EniId) -> Result<(), CloudError> {
        self.call(request::delete_eni(self.region(), eni), reply::done).await
    }

    async fn describe_enis(&self, filter: &EniFilter, next: Option<String>) -> Result<Page<Eni>, CloudError> {
        // Without ids the API would tell all ENIs of the account.
        if matches!(filter, EniFilter::Ids(ids) if ids.is_empty()) {
            return Ok(Page::only(Vec::new()));
        }
        self.call(request::describe_enis(self.region(), filter, next.as_deref()), reply::describe_enis).await
    }

    async fn assign_ipv4(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.call(request::assign_ipv4(self.region(), request), reply::assign_ipv4).await
    }

    async fn assign_ipv6(&self, request: &Assign) -> Result<AddressSet, CloudError> {
        self.call(request::assign_ipv6(self.region(), request), reply::assign_ipv6).await
    }

    async fn unassign_ipv4(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(request::unassign_ipv4(self.region(), eni, set), reply::done).await
    }

    async fn unassign_ipv6(&self, eni: &EniId, set: &AddressSet) -> Result<(), CloudError> {
        self.call(request::unassign_ipv6(self.region(), eni, set), reply::done).await
    }

    async fn describe_instance_type(
        &self,
        instance_type: &InstanceType,
    ) -> Result<InstanceLimits, CloudError> {
        let decode = |body: &[u8]| reply::describe_instance_type(instance_type, body);
        self.call(request::describe_instance_type(self.region(), instance_type), decode).await
    }

    async fn describe_vswitches(
        &self,
        filter: &VSwitchFilter,
        next: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError> {
        let next = next.as_deref();
        let decode = |body: &[u8]| reply::describe_vswitches(next, body);
        self.call(request::describe_vswitches(self.region(), filter, next), decode).await
    }

    async fn describe_security_groups(
        &self,
        ids: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError> {
        // Without ids the API would tell all groups of the account.
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = request::describe_security_groups(self.region(), ids);
        self.call(request, reply::describe_security_groups).await
    }

    async fn describe_route_tables(
        &self,
        vpc: &VpcId,
        next: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError> {
        let next = next.as_deref();
        let decode = |body: &[u8]| reply::describe_route_tables(next, body);
        self.call(request::describe_route_tables(self.region(), vpc, next), decode).await
    }

    async fn describe_route_entries(
        &self,
        table: &RouteTableId,
        next: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        let request = request::describe_route_entries(self.region(), table, next.as_deref());
        self.call(request, reply::describe_route_entries).await
    }

    async fn create_route_entry(&self, request: &CreateRoute) -> Result<RouteEntryId, CloudError> {
        self.call(request::create_route_entry(self.region(), request), reply::create_route_entry).await
    }

    async fn delete_route_entry(&self, entry: &RouteEntry) -> Result<(), CloudError> {
        self.call(request::delete_route_entry(self.region(), entry), reply::done).await
    }
}

#[cfg(test)]
mod tests;
