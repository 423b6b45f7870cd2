//! A stand-in for an API server: it serves any recorded cluster over HTTP, as a real server answers, and breaks
//! on demand. Free of the other test modules, because the benchmark uses it too.

#[path = "double/exec.rs"]
mod exec;
#[path = "double/lists.rs"]
mod lists;
#[path = "double/resources.rs"]
mod resources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Query, Request, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Source, Why};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::resources::{Resource, Target};

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
        Self { path: path.to_owned(), query: String::new(), times: usize::MAX, act }
    }

    /// Hits only so many requests.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Hits only requests whose query holds this text.
    pub fn query(self, text: &str) -> Self {
        Self { query: text.to_owned(), ..self }
    }

    fn hits(&self, path: &str, query: &str) -> bool {
        let mut segments = path.split('/');
        let within = self.path.split('/').all(|wanted| segments.next().is_some_and(|s| wanted == "*" || wanted == s));
        self.times > 0 && within && query.contains(&self.query)
    }
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

/// A list as it lies in the bundle, or why there is none.
type Listing = Arc<Result<Vec<Value>, Why>>;

struct Server {
    tree: Tree,
    bundle: Bundle,
    resources: Vec<Resource>,
    /// Lists that were asked for, by resource and namespace.
    listings: Mutex<BTreeMap<(String, Option<String>), Listing>>,
    faults: Mutex<Vec<Fault>>,
    hang: Duration,
    page: usize,
    requests: Mutex<Vec<String>>,
    date: HeaderValue,
}

/// A request, taken apart.
struct Asked {
    path: String,
    query: Vec<(String, String)>,
    accept: String,
}

impl Asked {
    /// The parameter of this name, or nothing.
    fn get(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
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

    fn bad_request(message: &str) -> Self {
        Self::failure(400, "BadRequest", message, Value::Null)
    }
}

impl Server {
    async fn new(tree: Tree, faults: Faults) -> Self {
        let bundle = Bundle::from_tree(tree.clone()).unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&bundle.now()).unwrap();
        Self {
            resources: resources::served(&tree, &bundle).await,
            tree,
            bundle,
            listings: Mutex::default(),
            faults: Mutex::new(faults.faults),
            hang: faults.hang,
            page: faults.page,
            requests: Mutex::default(),
            date: HeaderValue::from_str(&date).unwrap(),
        }
    }

    async fn respond(self: Arc<Self>, request: Request) -> Response {
        let mut parts = request.into_parts().0;
        self.requests.lock().unwrap().push(format!("{} {}", parts.method, parts.uri));
        let act = self.act(parts.uri.path(), parts.uri.query().unwrap_or_default());
        if let Some(Act::Slow(time)) = act {
            tokio::time::sleep(time).await;
        }
        let asked = Asked {
            path: parts.uri.path().to_owned(),
            query: Query::try_from_uri(&parts.uri).unwrap_or_default().0,
            accept: parts.headers.get(header::ACCEPT).map_or("", |accept| accept.to_str().unwrap()).to_owned(),
        };
        let mut response = self.reply(&mut parts, &asked, act.as_ref()).await;
        response.headers_mut().insert(header::DATE, self.date.clone());
        response
    }

    /// What is to go wrong now; it is then used up once.
    fn act(&self, path: &str, query: &str) -> Option<Act> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|fault| fault.hits(path, query))?;
        fault.times -= 1;
        Some(fault.act.clone())
    }

    async fn reply(self: &Arc<Self>, parts: &mut Parts, asked: &Asked, act: Option<&Act>) -> Response {
        let target = self.target(&asked.path);
        let answer = match (act, &target) {
            (Some(Act::Refuse(code)), _) => refusal(*code, target.as_ref()),
            (Some(Act::Busy(after)), _) => {
                let seconds = [(header::RETRY_AFTER, after.to_string())];
                return (seconds, send(refusal(429, None), None)).into_response();
            }
            (_, Some(target)) if target.part == "exec" => match self.command(target, asked).await {
                Ok(command) => return self.upgrade(parts, command).await,
                Err(answer) => answer,
            },
            _ if parts.method != Method::GET => {
                let message = "the server does not allow this method on the requested resource";
                Answer::failure(405, "MethodNotAllowed", message, json!({}))
            }
            (_, Some(target)) => self.object_or_list(target, asked).await,
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
    let Target { resource, ns, name, part } = target;
    let verb = match (*part, name.as_str()) {
        ("exec", _) => "create",
        (_, "") => "list",
        _ => "get",
    };
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

fn details(target: &Target<'_>) -> Value {
    let mut details = json!({"kind": target.resource.plural});
    for (key, value) in [("name", &target.name), ("group", &target.resource.group)] {
        if !value.is_empty() {
            details[key] = value.as_str().into();
        }
    }
    details
}
