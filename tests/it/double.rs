//! A stand-in for an API server: what `serve` makes of any recorded cluster, which here can also be written to, and
//! breaks on demand. Free of the other test modules, because the benchmark uses it too.

#[path = "double/ceph.rs"]
mod ceph;
#[path = "double/controllers.rs"]
mod controllers;
#[path = "double/exec.rs"]
mod exec;
#[path = "double/state.rs"]
pub mod state;
#[path = "double/writes.rs"]
mod writes;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::serve::answer::{Answer, details};
use rookdoctor::serve::exec::{container, upgrade};
use rookdoctor::serve::resources::Target;
use rookdoctor::serve::state::State;
use rookdoctor::serve::{Asked, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::writes::Hook;

/// A running server. It stops when it is dropped.
pub struct Double {
    runtime: Option<Runtime>,
    server: Arc<Doubled>,
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
        let server = Arc::new(runtime.block_on(Doubled::new(tree, faults)));
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

/// The server, and what only tests want of it.
struct Doubled {
    server: Arc<Server>,
    faults: Mutex<Vec<Fault>>,
    hooks: Mutex<Vec<Hook>>,
    denied: Mutex<Vec<(String, String)>>,
    hang: Duration,
    requests: Mutex<Vec<String>>,
    writes: Mutex<Vec<String>>,
    hold: Mutex<Option<usize>>,
    held: AtomicBool,
}

impl Doubled {
    async fn new(tree: Tree, faults: Faults) -> Self {
        Self {
            server: Arc::new(Server::new(Bundle::from_tree(tree).unwrap()).await.writable(faults.page)),
            faults: Mutex::new(faults.faults),
            hooks: Mutex::default(),
            denied: Mutex::default(),
            hang: faults.hang,
            requests: Mutex::default(),
            writes: Mutex::default(),
            hold: Mutex::default(),
            held: AtomicBool::new(false),
        }
    }

    fn state(&self) -> Arc<State> {
        self.server.state()
    }

    async fn respond(self: Arc<Self>, request: Request) -> Response {
        self.requests.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let uri = request.uri();
        let act = self.act(request.method(), uri.path(), uri.query().unwrap_or_default());
        if let Some(Act::Slow(time)) = act {
            tokio::time::sleep(time).await;
        }
        let (mut parts, asked) = Asked::read(request).await;
        let target = self.server.target(&asked);
        let target = target.as_ref();
        let response = match (&act, target) {
            (Some(Act::Refuse(code)), _) => refusal(*code, target).into_response(),
            (Some(Act::Busy(after)), _) => {
                let seconds = [(header::RETRY_AFTER, after.to_string())];
                (seconds, refusal(429, None)).into_response()
            }
            (_, Some(target)) if self.is_denied(target.verb, &target.resource.plural, target.part) => {
                forbidden(target).into_response()
            }
            (_, Some(target)) if !self.server.verbs(target.resource).contains(&target.verb) => {
                Answer::no_method().into_response()
            }
            (_, Some(target)) if target.part == "exec" => match self.server.command(target, &asked).await {
                Ok(command) => {
                    let doubled = Arc::clone(&self);
                    upgrade(&mut parts, &asked, async move { doubled.run(&command).await }).await
                }
                Err(answer) => answer.into_response(),
            },
            (_, Some(target)) if asked.method != Method::GET => self.written(target, &asked).await.into_response(),
            (_, None) if asked.method != Method::GET => Answer::no_path().into_response(),
            (_, Some(target)) if target.part == "log" => self.log(target, &asked).await,
            (_, target) => self.server.read(target, &asked).await,
        };
        let mut response = broken(response, act.as_ref()).await;
        // No real server tells that it did not read all.
        response.headers_mut().remove(header::WARNING);
        self.server.stamp(&mut response);
        response
    }

    /// A log that was not recorded is one that the kubelet does not hand over.
    async fn log(self: &Arc<Self>, target: &Target<'_>, asked: &Asked) -> Response {
        let response = self.server.read(Some(target), asked).await;
        if response.status() != 501 {
            return response;
        }
        let pod = self.server.pod(target).await.ok();
        let container = pod.and_then(|pod| container(&pod, asked.get("container")).ok()).unwrap_or_default();
        let (ns, pod) = (target.ns.as_deref().unwrap_or_default(), &target.name);
        let previous = if asked.is("previous") { "?previous=true" } else { "" };
        let message = format!(
            "Get \"https://10.200.0.1:10250/containerLogs/{ns}/{pod}/{container}{previous}\": \
             dial tcp 10.200.0.1:10250: connect: no route to host"
        );
        Answer::failure(500, "", &message, Value::Null).into_response()
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
}

/// What is left of an answer on its way.
async fn broken(response: Response, act: Option<&Act>) -> Response {
    if !matches!(act, Some(Act::Truncate | Act::Cut)) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let mut body: Vec<u8> = axum::body::to_bytes(body, usize::MAX).await.unwrap().into();
    body.truncate(body.len() / 2);
    let body = match act {
        Some(Act::Cut) => Body::from_stream(futures::stream::iter([Ok(body), Err(std::io::Error::other("cut"))])),
        _ => Body::from(body),
    };
    Response::from_parts(parts, body)
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
    Answer::forbidden(target, USER)
}

fn not_found(target: &Target<'_>) -> Answer {
    Answer::not_found(target)
}

fn already_exists(target: &Target<'_>, name: &str) -> Answer {
    let target = Target { name: name.to_owned(), ..target.clone() };
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
