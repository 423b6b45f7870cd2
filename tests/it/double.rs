//! A stand-in for an API server: it serves any recorded cluster over HTTP, as a real server answers, lets itself be
//! written to, and breaks on demand. Free of the other test modules, because the benchmark uses it too.

#[path = "double/ceph.rs"]
mod ceph;
#[path = "double/controllers.rs"]
mod controllers;
#[path = "double/exec.rs"]
mod exec;
#[path = "double/lists.rs"]
mod lists;
#[path = "double/resources.rs"]
mod resources;
#[path = "double/state.rs"]
pub mod state;
#[path = "double/watch.rs"]
mod watch;
#[path = "double/writes.rs"]
mod writes;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Query, Request, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rookdoctor::facts::Source;
use rookdoctor::facts::archive::Tree;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch::Sender;

use self::resources::{Resource, Target};
use self::state::State;
use self::writes::Hook;

/// A running server. It stops when it is dropped.
pub struct Double {
    runtime: Option<Runtime>,
    server: Arc<Server>,
    url: String,
    folder: TempDir,
}

/// What goes wrong, beside what was wrong with the cluster.
#[derive(Clone, Debug)]
pub struct Faults {
    pub faults: Vec<Fault>,
    /// How long a Ceph command hangs that found no monitor. On a real cluster these are 5 or 10 seconds.
    pub hang: Duration,
    /// A page of a list is never longer, whatever the client allows: then small clusters have several pages.
    pub page: usize,
}

impl Faults {
    /// A server without faults of its own.
    pub fn none() -> Self {
        Self { faults: Vec::new(), hang: Duration::from_millis(50), page: usize::MAX }
    }

    pub fn some(faults: impl Into<Vec<Fault>>) -> Self {
        Self { faults: faults.into(), ..Self::none() }
    }
}

/// What goes wrong with the requests to one place.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The first segments of the path; `*` stands for any one segment.
    path: String,
    /// A part of the query.
    query: String,
    /// Empty for any.
    method: String,
    times: usize,
    act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    /// 403, 404, 410, 429 or 500, in the words of a real server.
    Refuse(u16),
    /// 429 and how many seconds to stay away.
    Busy(u64),
    /// The answer comes after this time.
    Slow(Duration),
    /// Half of the JSON, as if that were all.
    Truncate,
    /// The connection ends within the answer.
    Cut,
}

impl Fault {
    /// Hits every request below this path.
    pub fn at(path: &str, act: Act) -> Self {
        Self { path: path.to_owned(), query: String::new(), method: String::new(), times: usize::MAX, act }
    }

    /// Hits only requests of this method, such as `DELETE`.
    pub fn method(self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self }
    }

    /// Hits only so many requests.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Hits only requests whose query holds this text.
    pub fn query(self, text: &str) -> Self {
        Self { query: text.to_owned(), ..self }
    }

    fn hits(&self, method: &str, path: &str, query: &str) -> bool {
        let of_method = self.method.is_empty() || self.method == method;
        self.times > 0 && of_method && matches(&self.path, path) && query.contains(&self.query)
    }
}

/// Whether a request begins with these segments or words; `*` at the end of one stands for any rest of it.
fn matches(pattern: &str, request: &str) -> bool {
    let mut segments = request.split(['/', ' ']);
    pattern.split(['/', ' ']).all(|wanted| {
        segments.next().is_some_and(|segment| match wanted.strip_suffix('*') {
            Some(prefix) => segment.starts_with(prefix),
            None => segment == wanted,
        })
    })
}

impl Double {
    /// Serves the cluster on a free port of the loopback.
    pub fn serve(tree: Tree, faults: Faults) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = Arc::new(runtime.block_on(Server::new(tree, faults)));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&server);
        let app = Router::new().fallback(move |request: Request| {
            let server = Arc::clone(&shared);
            async move { server.respond(request).await }
        });
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        write_kubeconfig(&folder.path().join("config"), &url);
        Self { runtime: Some(runtime), server, url, folder }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig whose only context, `double`, leads here.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Every request so far: method, path and query.
    pub fn requests(&self) -> Vec<String> {
        self.server.requests.lock().unwrap().clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn write_kubeconfig(path: &Path, url: &str) {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "double",
        "clusters": [{"name": "double", "cluster": {"server": url}}],
        "users": [{"name": "double", "user": {}}],
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "double", "namespace": "default"}}]});
    std::fs::write(path, config.to_string()).unwrap();
}

/// The name that refusals give to the user.
const USER: &str = "double";

struct Server {
    /// The cluster after each change; the last is what it is now.
    states: Mutex<Vec<Arc<State>>>,
    /// Tells watches how many states there are.
    changes: Sender<usize>,
    now: Mutex<Timestamp>,
    resources: Vec<Resource>,
    faults: Mutex<Vec<Fault>>,
    hooks: Mutex<Vec<Hook>>,
    denied: Mutex<Vec<(String, String)>>,
    hang: Duration,
    page: usize,
    requests: Mutex<Vec<String>>,
    writes: Mutex<Vec<String>>,
    hold: Mutex<Option<usize>>,
    held: AtomicBool,
}

/// A request, taken apart.
#[derive(Clone)]
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    accept: String,
    content_type: String,
    body: Vec<u8>,
}

impl Asked {
    /// The parameter of this name, or nothing.
    fn get(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The body, which is null if it is empty.
    fn json(&self) -> Result<Value, Answer> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Answer::bad_request(&error.to_string()))
    }
}

/// An answer before it is sent.
struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

const JSON: &str = "application/json";

impl Answer {
    fn json(body: &impl Serialize) -> Self {
        Self { status: 200, content_type: JSON, body: serde_json::to_vec(body).unwrap() }
    }

    fn text(status: u16, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }

    /// What a server says of a path that it does not serve.
    fn no_path() -> Self {
        Self::text(404, "404 page not found\n")
    }

    /// A failure in the form of all failures. An empty reason or details are left out, as the server does.
    fn failure(code: u16, reason: &str, message: &str, details: Value) -> Self {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "code": code});
        if !reason.is_empty() {
            body["reason"] = reason.into();
        }
        if !details.is_null() {
            body["details"] = details;
        }
        Self { status: code, ..Self::json(&body) }
    }

    fn no_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message, json!({}))
    }

    fn bad_request(message: &str) -> Self {
        Self::failure(400, "BadRequest", message, Value::Null)
    }
}

impl Server {
    async fn new(tree: Tree, faults: Faults) -> Self {
        let state = State::new(tree, lists::RESOURCE_VERSION);
        Self {
            resources: resources::served(&state.tree, &state.bundle).await,
            now: Mutex::new(state.bundle.now()),
            states: Mutex::new(vec![Arc::new(state)]),
            changes: Sender::new(1),
            faults: Mutex::new(faults.faults),
            hooks: Mutex::default(),
            denied: Mutex::default(),
            hang: faults.hang,
            page: faults.page,
            requests: Mutex::default(),
            writes: Mutex::default(),
            hold: Mutex::default(),
            held: AtomicBool::new(false),
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(self.states.lock().unwrap().last().unwrap())
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn respond(self: Arc<Self>, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        self.requests.lock().unwrap().push(format!("{} {}", parts.method, parts.uri));
        let act = self.act(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default());
        if let Some(Act::Slow(time)) = act {
            tokio::time::sleep(time).await;
        }
        let header =
            |name| parts.headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap()).to_owned();
        let asked = Asked {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: Query::try_from_uri(&parts.uri).unwrap_or_default().0,
            accept: header(header::ACCEPT),
            content_type: header(header::CONTENT_TYPE),
            body: axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default().into(),
        };
        let mut response = self.reply(&mut parts, &asked, act.as_ref()).await;
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.now()).unwrap();
        response.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).unwrap());
        response
    }

    /// What is to go wrong now; it is then used up once.
    fn act(&self, method: &Method, path: &str, query: &str) -> Option<Act> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|fault| fault.hits(method.as_str(), path, query))?;
        fault.times -= 1;
        Some(fault.act.clone())
    }

    /// Whether a request would be forbidden, as far as its path tells.
    fn refuses(&self, method: &str, path: &str) -> bool {
        let faults = self.faults.lock().unwrap();
        faults.iter().any(|fault| matches!(fault.act, Act::Refuse(403)) && fault.hits(method, path, &fault.query))
    }

    async fn reply(self: &Arc<Self>, parts: &mut Parts, asked: &Asked, act: Option<&Act>) -> Response {
        let target = self.target(asked);
        let answer = match (act, &target) {
            (Some(Act::Refuse(code)), _) => refusal(*code, target.as_ref()),
            (Some(Act::Busy(after)), _) => {
                let seconds = [(header::RETRY_AFTER, after.to_string())];
                return (seconds, send(refusal(429, None), None)).into_response();
            }
            (_, Some(target)) if self.is_denied(target.verb, &target.resource.plural, target.part) => forbidden(target),
            (_, Some(target)) if !target.resource.verbs().contains(&target.verb) => Answer::no_method(),
            (_, Some(target)) if target.part == "exec" => match self.command(target, asked).await {
                Ok(command) => return self.upgrade(parts, command).await,
                Err(answer) => answer,
            },
            (_, Some(target)) if target.verb == "watch" => return self.watch(target, asked.clone()).await,
            (_, Some(target)) if asked.method != Method::GET => self.written(target, asked).await,
            (_, Some(target)) => self.object_or_list(target, asked).await,
            (_, None) if asked.method != Method::GET => Answer::no_path(),
            (_, None) => self.discovery(asked),
        };
        send(answer, act)
    }

    /// Commands run over WebSocket only: kubectl before 1.30 speaks SPDY.
    async fn upgrade(self: &Arc<Self>, parts: &mut Parts, command: exec::Command) -> Response {
        let Ok(upgrade) = WebSocketUpgrade::from_request_parts(parts, &()).await else {
            return send(Answer::bad_request("unable to upgrade: only WebSocket is spoken here"), None);
        };
        let server = Arc::clone(self);
        let upgrade = upgrade.protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]);
        upgrade.on_upgrade(move |socket| async move { server.run(socket, command).await })
    }
}

/// The answer on its way, or what is left of it.
fn send(answer: Answer, act: Option<&Act>) -> Response {
    let Answer { status, content_type, mut body } = answer;
    let body = match act {
        Some(Act::Truncate) => {
            body.truncate(body.len() / 2);
            Body::from(body)
        }
        Some(Act::Cut) => {
            body.truncate(body.len() / 2);
            Body::from_stream(futures::stream::iter([Ok(body), Err(std::io::Error::other("cut"))]))
        }
        _ => Body::from(body),
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache, private")], body).into_response()
}

/// The words of a real server for a refusal.
fn refusal(code: u16, target: Option<&Target<'_>>) -> Answer {
    let (reason, message) = match code {
        403 => return target.map_or_else(|| Answer::failure(403, "Forbidden", "forbidden", json!({})), forbidden),
        404 => return target.filter(|target| !target.name.is_empty()).map_or_else(Answer::no_path, not_found),
        410 => (
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new \
             list without the continue parameter.",
        ),
        429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        _ => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    };
    Answer::failure(code, reason, message, Value::Null)
}

fn forbidden(target: &Target<'_>) -> Answer {
    let Target { resource, ns, name, part, verb } = target;
    let object = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let part = if part.is_empty() { String::new() } else { format!("/{part}") };
    let scope = ns.as_ref().map_or("at the cluster scope".to_owned(), |ns| format!("in the namespace {ns:?}"));
    let message = format!(
        "{}{object} is forbidden: User {USER:?} cannot {verb} resource \"{}{part}\" in API group {:?} {scope}",
        resource.name(),
        resource.plural,
        resource.group,
    );
    Answer::failure(403, "Forbidden", &message, details(target))
}

fn not_found(target: &Target<'_>) -> Answer {
    let message = format!("{} {:?} not found", target.resource.name(), target.name);
    Answer::failure(404, "NotFound", &message, details(target))
}

fn already_exists(target: &Target<'_>, name: &str) -> Answer {
    let target = Target { name: name.to_owned(), ns: target.ns.clone(), ..*target };
    let message = format!("{} {name:?} already exists", target.resource.name());
    Answer::failure(409, "AlreadyExists", &message, details(&target))
}

/// A write that comes too late. Not all of a server's code names the object alike.
fn conflict(target: &Target<'_>, named: &str, kind: &str, why: &str) -> Answer {
    let message = format!("Operation cannot be fulfilled on {named} {:?}: {why}", target.name);
    let mut details = details(target);
    details["kind"] = kind.into();
    Answer::failure(409, "Conflict", &message, details)
}

fn details(target: &Target<'_>) -> Value {
    let mut details = json!({"kind": target.resource.plural});
    for (key, value) in [("name", &target.name), ("group", &target.resource.group)] {
        if !value.is_empty() {
            details[key] = value.as_str().into();
        }
    }
    details
}
