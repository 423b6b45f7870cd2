//! Requests to the API server: bounded in time, size and number, counted, and tried again when that helps.

use std::error::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use kube::Client;
use kube::client::{AuthError, Body};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::facts::{MALFORMED, NOT_CAPTURED, NOT_WHOLE, Why, redact};

/// Requests in flight at once; the API server's fairness queues are not ours to fill.
const AT_ONCE: usize = 16;
/// Commands in flight at once: each holds a stream through the API server to a kubelet.
const COMMANDS_AT_ONCE: usize = 8;
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// However long a server asks us to stay away, a diagnosis cannot wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MIB: usize = 1 << 20;

pub(super) const PLAIN: &str = "application/json";

/// One GET.
pub(super) struct Get<'a> {
    /// Path and query, encoded.
    pub path: &'a str,
    pub accept: &'a str,
    /// The time for one try, from the request to the end of the body.
    pub limit: Duration,
    pub at_most: usize,
    /// Keep only this many bytes from the end.
    pub tail: Option<usize>,
    /// A kubelet answers through the server: its 500 is an answer, trying again only costs time.
    pub proxied: bool,
}

impl<'a> Get<'a> {
    pub fn new(path: &'a str, limit: Duration) -> Self {
        Self { path, accept: PLAIN, limit, at_most: 16 * MIB, tail: None, proxied: false }
    }
}

/// One request that carries something.
pub(super) struct Post<'a> {
    pub method: Method,
    /// Path and query, encoded.
    pub path: &'a str,
    pub content: &'a str,
    pub body: &'a Value,
    pub limit: Duration,
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server's refusal.
    Refused {
        status: StatusCode,
        reason: String,
        message: String,
        retry_after: Option<Duration>,
    },
    /// No connection, or it broke.
    Lost(Box<dyn Error + Send + Sync>),
    Timeout,
    TooLarge,
}

impl Failure {
    /// How long to wait before trying again; none if that would not help.
    fn pause(&self, tries: u32, proxied: bool) -> Option<Duration> {
        let pause = FIRST_PAUSE * 2u32.pow(tries.saturating_sub(1));
        match self {
            _ if tries >= TRIES => None,
            Self::Refused { status, retry_after, .. } => {
                let busy = *status == StatusCode::TOO_MANY_REQUESTS;
                let broken = status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED;
                let asked = retry_after.unwrap_or_default().min(LONGEST_PAUSE);
                (busy || (broken && !proxied)).then(|| pause.max(asked))
            }
            Self::Lost(error) => passes(error.as_ref()).then_some(pause),
            Self::Timeout | Self::TooLarge => None,
        }
    }

    /// The reason why the fact behind the request is unknown.
    pub fn why(self) -> Why {
        match self {
            Self::Refused { reason, .. } if reason == NOT_CAPTURED => Why::NotCaptured,
            Self::Refused { reason, message, .. } if reason == MALFORMED => Why::Malformed(message),
            Self::Refused { status: StatusCode::FORBIDDEN, message, .. } => Why::Forbidden(message),
            // The server waited for its storage, or a proxy for the server, as long as it may.
            Self::Refused { status: StatusCode::GATEWAY_TIMEOUT, .. } => Why::Timeout,
            Self::Refused { status, message, .. } => Why::Unreachable(format!("{}: {message}", status.as_u16())),
            Self::Lost(error) => Why::Unreachable(chain(error.as_ref())),
            Self::Timeout => Why::Timeout,
            Self::TooLarge => Why::OverBudget,
        }
    }
}

/// A refused or broken connection may heal within a second. A bad certificate, a name that does not resolve, a
/// server that stays silent or a failed login does not.
fn passes(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, UnexpectedEof,
    };
    let healing = [BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, UnexpectedEof];
    let innermost = sources(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).last();
    login_failure(error).is_none() && innermost.is_none_or(|io| healing.contains(&io.kind()))
}

/// What went wrong with the credentials, if that is at the root of an error. What a plugin got as arguments and
/// what it wrote to stdout may be secret, so only its stderr is shown.
pub(super) fn login_failure(error: &(dyn Error + 'static)) -> Option<String> {
    let login = sources(error).find_map(|error| error.downcast_ref::<AuthError>())?;
    Some(match login {
        AuthError::AuthExecRun { out, .. } if out.stderr.is_empty() => {
            format!("it ended with {}; what it said is shown above", out.status)
        }
        AuthError::AuthExecRun { out, .. } => {
            format!("it ended with {}: {}", out.status, one_line(&String::from_utf8_lossy(&out.stderr)))
        }
        error => one_line(&error.to_string()),
    })
}

/// An error and what it came from, outermost first. What an I/O error wraps is not among its sources.
pub(super) fn sources<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let next = |error: &&'e (dyn Error + 'static)| -> Option<&'e (dyn Error + 'static)> {
        let wrapped = (*error).downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|error| error as &(dyn Error + 'static)).or_else(|| (*error).source())
    };
    std::iter::successors(Some(error), next).take(16)
}

/// The whole story of an error in one line; many errors repeat their source in their own text.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(login) = login_failure(error) {
        return format!("the credentials plugin failed: {login}");
    }
    let mut text = String::new();
    for part in sources(error).map(ToString::to_string) {
        if !text.contains(&part) {
            text = if text.is_empty() { part } else { format!("{text}: {part}") };
        }
    }
    one_line(&text)
}

/// Text of the other side as one bounded line without keys and control characters.
pub(super) fn one_line(text: &str) -> String {
    redact::keys(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What was spent.
#[derive(Default)]
pub(super) struct Spent {
    pub requests: AtomicU64,
    pub retries: AtomicU64,
    pub bytes: AtomicU64,
}

/// The API server as this run sees it.
pub(super) struct Api {
    pub client: Client,
    pub spent: Spent,
    /// One permit for each command that may run.
    pub commands: Semaphore,
    requests: Semaphore,
    /// The server's clock at its first answer, and ours.
    clock: OnceLock<(Timestamp, Instant)>,
}

impl Api {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            spent: Spent::default(),
            commands: Semaphore::new(COMMANDS_AT_ONCE),
            requests: Semaphore::new(AT_ONCE),
            clock: OnceLock::new(),
        }
    }

    /// The server's clock; ours as long as it has not told its own.
    pub fn now(&self) -> Timestamp {
        let Some((then, since)) = self.clock.get() else { return Timestamp::now() };
        then.checked_add(since.elapsed()).unwrap_or(*then)
    }

    /// Asks until there is an answer or no hope of one.
    pub async fn get(&self, ask: &Get<'_>) -> Result<Vec<u8>, Failure> {
        self.spent.requests.fetch_add(1, Ordering::Relaxed);
        let mut tries = 0;
        loop {
            let answer = self.ask_once(ask).await;
            tries += 1;
            let Err(failure) = answer else { return answer };
            let Some(pause) = failure.pause(tries, ask.proxied) else { return Err(failure) };
            self.spent.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends once. Whether a request that got no answer was carried out is not known, so it is not sent again here.
    pub async fn send(&self, send: &Post<'_>) -> Result<Vec<u8>, Failure> {
        self.spent.requests.fetch_add(1, Ordering::Relaxed);
        let request = Request::builder().method(send.method.clone()).uri(send.path);
        let request = request.header(header::ACCEPT, PLAIN).header(header::CONTENT_TYPE, send.content);
        let request = request.body(Body::from(send.body.to_string().into_bytes()));
        let request = request.map_err(|error| Failure::Lost(error.into()))?;
        let answer = self.answer(request, 16 * MIB, None);
        tokio::time::timeout(send.limit, answer).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn ask_once(&self, ask: &Get<'_>) -> Result<Vec<u8>, Failure> {
        let _permit = self.requests.acquire().await.map_err(|error| Failure::Lost(error.into()))?;
        tokio::time::timeout(ask.limit, self.exchange(ask)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange(&self, ask: &Get<'_>) -> Result<Vec<u8>, Failure> {
        let request = Request::get(ask.path).header(header::ACCEPT, ask.accept).body(Body::empty());
        self.answer(request.map_err(|error| Failure::Lost(error.into()))?, ask.at_most, ask.tail).await
    }

    /// Every request passes here, so this is where Secrets are kept from being read, whoever asks.
    async fn answer(&self, request: Request<Body>, at_most: usize, tail: Option<usize>) -> Result<Vec<u8>, Failure> {
        if is_secret(request.uri().path()) {
            let (reason, message) = (String::new(), "this program never reads Secrets".to_owned());
            return Err(Failure::Refused { status: StatusCode::FORBIDDEN, reason, message, retry_after: None });
        }
        let response = self.client.send(request).await.map_err(|error| Failure::Lost(error.into()))?;
        self.note_time(response.headers());
        if let Some(message) = not_whole(response.headers()) {
            let (status, reason) = (StatusCode::NOT_IMPLEMENTED, MALFORMED.to_owned());
            return Err(Failure::Refused { status, reason, message, retry_after: None });
        }
        if response.status().is_success() {
            return self.body(response.into_body(), at_most, tail).await;
        }
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = self.body(response.into_body(), MIB, None).await.unwrap_or_default();
        Err(refusal(status, retry_after, &body))
    }

    fn note_time(&self, headers: &header::HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        if let Some(Ok(date)) = date.map(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date)) {
            self.clock.get_or_init(|| (date, Instant::now()));
        }
    }

    async fn body(&self, body: Body, at_most: usize, tail: Option<usize>) -> Result<Vec<u8>, Failure> {
        let mut body = Limited::new(body, at_most);
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => Failure::TooLarge,
                Err(error) => Failure::Lost(error),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            self.spent.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            kept.extend_from_slice(&data);
            // Cutting only at twice the size keeps the copying linear.
            if tail.is_some_and(|tail| kept.len() > 2 * tail) {
                cut_front(&mut kept, tail);
            }
        }
        cut_front(&mut kept, tail);
        Ok(kept)
    }
}

/// Whether a path leads to Secrets; a namespace or an object may be called so.
fn is_secret(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    matches!(segments[..], ["api", _, "secrets", ..] | ["api", _, "namespaces", _, "secrets", ..])
}

/// Keeps the last `tail` bytes.
pub(super) fn cut_front(bytes: &mut Vec<u8>, tail: Option<usize>) {
    if let Some(tail) = tail {
        bytes.drain(..bytes.len().saturating_sub(tail));
    }
}

/// Seconds only: the API server never sends the date form.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What a served recording could not read of a list. To hold the rest for all would be to know what is not known.
fn not_whole(headers: &header::HeaderMap) -> Option<String> {
    let mut warnings = headers.get_all(header::WARNING).iter().filter_map(|warning| warning.to_str().ok());
    warnings.find_map(|warning| warning.strip_prefix(NOT_WHOLE)).map(|why| one_line(why.trim_end_matches('"')))
}

/// The server's own words where it answers with a `Status`, else the beginning of what came.
fn refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        reason: String,
        message: String,
    }
    let said = serde_json::from_slice(body).unwrap_or_else(|_| Said {
        reason: String::new(),
        message: String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
    });
    Failure::Refused { status, reason: said.reason, message: one_line(&said.message), retry_after }
}

/// Percent-encodes a path segment or a query value: names come from the cluster and must not change the path.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The query of a request: `?a=b&c=d` without the empty values.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_path_segment() {
        assert_eq!(encode("rook-ceph-mon-a"), "rook-ceph-mon-a");
        assert_eq!(encode("../x?y=é"), "..%2Fx%3Fy%3D%C3%A9");
        assert_eq!(
            query(&[("limit", "500"), ("labelSelector", "app=x,!y"), ("continue", "")]),
            "?limit=500&labelSelector=app%3Dx%2C%21y"
        );
    }

    #[test]
    fn secrets_are_told_from_what_is_only_called_so() {
        for (path, expected) in [
            ("/api/v1/secrets", true),
            ("/api/v1/namespaces/rook-ceph/secrets", true),
            ("/api/v1//namespaces/rook-ceph/secrets/rook-ceph-mon", true),
            ("/api/v1/namespaces/secrets/pods", false),
            ("/api/v1/namespaces/secrets", false),
            ("/api/v1/namespaces/a/configmaps/secrets", false),
        ] {
            assert_eq!(is_secret(path), expected, "{path}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status: u16, after: Option<u64>| Failure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            reason: String::new(),
            message: String::new(),
            retry_after: after.map(Duration::from_secs),
        };
        for (failure, tries, proxied, expected) in [
            (refused(429, None), 1, false, Some(200)),
            (refused(503, None), 3, false, Some(800)),
            (refused(503, None), 4, false, None),
            (refused(429, Some(2)), 1, true, Some(2000)),
            (refused(429, Some(3600)), 1, false, Some(5000)),
            (refused(500, None), 1, true, None),
            (refused(403, None), 1, false, None),
            (Failure::Timeout, 1, false, None),
            (Failure::Lost(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()), 2, false, Some(400)),
            (Failure::Lost(std::io::Error::from(std::io::ErrorKind::InvalidData).into()), 1, false, None),
            (Failure::Lost(std::io::Error::from(std::io::ErrorKind::TimedOut).into()), 1, false, None),
            (Failure::Lost(kube::Error::Auth(AuthError::MissingCommand).into()), 1, false, None),
        ] {
            assert_eq!(failure.pause(tries, proxied), expected.map(Duration::from_millis), "{failure:?} after {tries}");
        }
    }

    #[test]
    fn hostile_error_texts_become_one_bounded_line() {
        let line = one_line(&format!("a\u{1b}[31m b\n{}", "é".repeat(5000)));
        assert!(line.ends_with("éé") && line.chars().count() == 300, "{line}");
        assert_eq!(one_line("a\u{1b}[31m b\r\n c"), "a [31m b c");
    }
}
