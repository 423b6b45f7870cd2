//! A recorded cluster as a read-only Kubernetes API: discovery, lists, tables, watches, logs and recorded commands,
//! as a real server answers them.
//!
//! What was not recorded is an error that says so, never an empty list. Nothing is ever changed: a [`State`] is
//! made once and only read. (The tests' double is this server too; it keeps a new state for every write that it
//! performs, which is why there may be several.)

pub mod answer;
mod discovery;
mod door;
pub mod exec;
pub mod kubeconfig;
mod lists;
mod logs;
mod printers;
mod protobuf;
pub mod resources;
mod reviews;
mod spdy;
pub mod state;
mod tables;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::watch::Sender;

use self::answer::Answer;
use self::resources::{Resource, Target};
use self::state::State;
use crate::facts::bundle::Bundle;

/// A recorded cluster and what is served of it.
pub struct Server {
    /// The cluster after each change; the last is what it is now. A recording has one for ever.
    states: Mutex<Vec<Arc<State>>>,
    /// Tells watches how many states there are.
    changes: Sender<usize>,
    resources: Vec<Resource>,
    /// A page of a list is never longer, whatever the client allows.
    page: usize,
    /// Whether discovery tells of verbs that write. Those who perform them are not here.
    is_writable: bool,
}

/// The version of the recording as a whole; what was recorded of single objects may be newer.
const RESOURCE_VERSION: u64 = 672;
/// The longest body of a request that is read: a review is small, and nothing else is taken.
const BODY_BYTES: usize = 4 << 20;

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub accept: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// Takes a request apart; what is left of it can still be upgraded.
    pub async fn read(request: Request) -> (Parts, Self) {
        let (parts, body) = request.into_parts();
        let header = |name: HeaderName| {
            let values = parts.headers.get_all(name);
            values.iter().filter_map(|value: &HeaderValue| value.to_str().ok()).collect::<Vec<_>>().join(",")
        };
        let asked = Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: Query::try_from_uri(&parts.uri).unwrap_or_default().0,
            accept: header(header::ACCEPT),
            content_type: header(header::CONTENT_TYPE),
            body: axum::body::to_bytes(body, BODY_BYTES).await.unwrap_or_default().into(),
        };
        (parts, asked)
    }

    /// The parameter of this name, or nothing.
    pub fn get(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether the parameter of this name is set.
    pub fn is(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    /// The body, which is null if it is empty.
    pub fn json(&self) -> Result<Value, Answer> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Answer::bad_request(&error.to_string()))
    }
}

impl Server {
    pub async fn new(bundle: Bundle) -> Self {
        let state = State::new(bundle, RESOURCE_VERSION);
        Self {
            resources: resources::served(&state.bundle).await,
            states: Mutex::new(vec![Arc::new(state)]),
            changes: Sender::new(1),
            page: usize::MAX,
            is_writable: false,
        }
    }

    /// The same for someone who performs writes, with lists in pages of at most so many objects.
    pub fn writable(self, page: usize) -> Self {
        Self { page, is_writable: true, ..self }
    }

    /// What discovery says can be done with a resource.
    pub fn verbs(&self, resource: &Resource) -> &'static [&'static str] {
        match (resource.is_review, self.is_writable) {
            (true, _) => &["create"],
            (false, true) => &["create", "delete", "get", "list", "patch", "update", "watch"],
            (false, false) => &["get", "list", "watch"],
        }
    }

    /// The cluster as it is now.
    pub fn state(&self) -> Arc<State> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        // There is one from the beginning, and none is ever taken away.
        Arc::clone(&states[states.len() - 1])
    }

    /// What is served of it.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Makes another state of the last one, which is what the cluster is from then on. If the change fails, nothing
    /// has happened.
    pub fn change<T, E>(&self, change: impl FnOnce(&State) -> Result<(T, Option<State>), E>) -> Result<T, E> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, new) = change(&states[states.len() - 1])?;
        if let Some(new) = new {
            states.push(Arc::new(new));
            self.changes.send_replace(states.len());
        }
        Ok(done)
    }

    /// Answers a request, if it comes from where it may and only reads.
    pub async fn respond(self: Arc<Self>, key: &str, request: Request) -> Response {
        let mut response = match door::enter(key, request) {
            Ok(request) => self.answer(request).await,
            Err(refusal) => refusal.into_response(),
        };
        self.stamp(&mut response);
        response
    }

    async fn answer(self: &Arc<Self>, request: Request) -> Response {
        let (mut parts, asked) = Asked::read(request).await;
        let target = self.target(&asked);
        match target.as_ref() {
            Some(target) if target.resource.is_review && asked.method == Method::POST => {
                reviews::review(target, &asked).into_response()
            }
            Some(target) if target.part == "exec" => match self.command(target, &asked).await {
                Ok(command) => {
                    let server = Arc::clone(self);
                    let ran = async move { server.ran(&command).await.ok_or_else(|| server.unknown_command(&command)) };
                    exec::upgrade(&mut parts, &asked, ran).await
                }
                Err(answer) => answer.into_response(),
            },
            target if asked.method != Method::GET && asked.method != Method::HEAD => {
                let details = target.map_or(Value::Null, answer::details);
                Answer::failure(405, "MethodNotAllowed", reviews::READ_ONLY, details).into_response()
            }
            target => self.read(target, &asked).await,
        }
    }

    /// Answers what only reads: discovery, an object, a list, a watch, a log.
    pub async fn read(self: &Arc<Self>, target: Option<&Target<'_>>, asked: &Asked) -> Response {
        match target {
            Some(target) if target.resource.is_review => Answer::no_method().into_response(),
            Some(target) if target.verb == "watch" => self.watch(target, asked.clone()).await,
            Some(target) => self.object_or_list(target, asked).await,
            None => self.discovery(asked).into_response(),
        }
    }

    /// The server's clock stands: clients that compute ages by it see those of the recording.
    pub fn stamp(&self, response: &mut Response) {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.state().now);
        if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
            response.headers_mut().insert(header::DATE, date);
        }
    }
}
