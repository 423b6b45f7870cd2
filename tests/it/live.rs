//! The live source against a small server that answers, fails and stalls on demand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rookdoctor::facts::live::{ConnectError, Live, Options, connect};
use rookdoctor::facts::{Answer, CephCommand, Cluster, Fact, Select, Source, Why, kinds};
use serde_json::{Value, json};

/// What the server does with a request.
enum Reply {
    Json(u16, Value),
    Text(u16, String),
    /// 429 with `Retry-After`.
    Busy(u64),
    /// stdout, stderr and exit status of a command.
    Ran(Vec<u8>, String, i32),
    /// The command is started and never heard of again.
    Silence,
}

/// A request as the scripts of these tests see it.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    query: Vec<(String, String)>,
    accept: String,
    /// How many requests for this path and query came before.
    before: usize,
}

impl Asked {
    fn get(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn command(&self) -> String {
        let words = self.query.iter().filter(|(key, _)| key == "command");
        words.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    }
}

struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        let app =
            Router::new().fallback(move |request: Request| answer(request, Arc::clone(&log), Arc::clone(&script)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, asked }
    }

    fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.contains(path)).cloned().collect()
    }
}

async fn answer(
    request: Request,
    log: Arc<Mutex<Vec<Asked>>>,
    script: Arc<impl Fn(&Asked) -> Reply + Send + Sync + 'static>,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), decode(value))).collect();
    let accept = parts.headers.get(header::ACCEPT).map_or("", |accept| accept.to_str().unwrap()).to_owned();
    let mut asked = Asked { path: parts.uri.path().to_owned(), query, accept, before: 0 };
    {
        let mut log = log.lock().unwrap();
        asked.before = log.iter().filter(|old| old.path == asked.path && old.query == asked.query).count();
        log.push(asked.clone());
    }
    if asked.path == "/version" {
        return ([(header::DATE, "Tue, 04 Mar 2025 14:02:58 GMT")], r#"{"gitVersion":"v1.32.3"}"#).into_response();
    }
    let reply = script(&asked);
    if matches!(reply, Reply::Ran(..) | Reply::Silence) {
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.unwrap();
        return upgrade.protocols(["v5.channel.k8s.io"]).on_upgrade(move |socket| run(socket, reply));
    }
    match reply {
        Reply::Json(status, body) => (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response(),
        Reply::Text(status, body) => (StatusCode::from_u16(status).unwrap(), Body::from(body)).into_response(),
        Reply::Busy(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], "busy").into_response()
        }
        Reply::Ran(..) | Reply::Silence => unreachable!(),
    }
}

async fn run(mut socket: WebSocket, reply: Reply) {
    let Reply::Ran(stdout, stderr, rc) = reply else {
        while socket.recv().await.is_some() {}
        return;
    };
    let frame = |channel: u8, data: &[u8]| Message::Binary([&[channel], data].concat().into());
    for part in stdout.chunks(30_000) {
        socket.send(frame(1, part)).await.unwrap();
    }
    socket.send(frame(2, stderr.as_bytes())).await.unwrap();
    let status = if rc == 0 {
        json!({"status": "Success"})
    } else {
        json!({"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": rc.to_string()}]}})
    };
    socket.send(frame(3, status.to_string().as_bytes())).await.unwrap();
    let _ = socket.send(Message::Close(None)).await;
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn kubeconfig(folder: &Path, server: &str, user: Value) -> Options {
    let path = folder.join("config");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "storage"}}]});
    std::fs::write(&path, config.to_string()).unwrap();
    Options { kubeconfig: Some(path), ..Options::default() }
}

async fn live(server: &Server) -> Live {
    let folder = tempfile::tempdir().unwrap();
    connect(&kubeconfig(folder.path(), &server.address, json!({}))).await.unwrap()
}

async fn why(live: &Live, fact: &Fact) -> Why {
    live.fetch(fact).await.unwrap_err()
}

async fn objects(live: &Live, fact: &Fact) -> Vec<Value> {
    match live.fetch(fact).await.unwrap().answer {
        Answer::Objects(objects) => objects,
        other => panic!("{other:?}"),
    }
}

async fn text(live: &Live, fact: &Fact) -> Vec<u8> {
    match live.fetch(fact).await.unwrap().answer {
        Answer::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn pods() -> Fact {
    Fact::List { kind: kinds::POD, ns: Some("rook-ceph".into()), select: Select::label("app=rook-ceph-osd") }
}

fn page(names: &[&str], next: &str) -> Reply {
    let items: Vec<Value> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
    Reply::Json(200, json!({"kind": "PodList", "metadata": {"continue": next}, "items": items}))
}

fn refused(code: u16, reason: &str, message: &str) -> Reply {
    Reply::Json(
        code,
        json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}),
    )
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = Server::start(|asked| match asked.get("continue") {
        "" => page(&["a", "b"], "two=/+"),
        "two=/+" => page(&["c"], "three"),
        _ => page(&["d"], ""),
    })
    .await;
    let live = live(&server).await;
    let names: Vec<Value> = objects(&live, &pods()).await.iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let asked = server.asked("/api/v1/namespaces/rook-ceph/pods");
    assert!(asked.iter().all(|asked| asked.get("limit") == "500" && asked.get("labelSelector") == "app=rook-ceph-osd"));
    assert_eq!((live.cost().requests, live.cost().retries), (4, 0), "three pages and the version");
}

#[tokio::test]
async fn an_expired_page_restarts_the_list() {
    let server = Server::start(|asked| match (asked.get("continue"), asked.before) {
        ("", _) => page(&["a"], "two"),
        (_, 0) => refused(410, "Expired", "too old"),
        _ => page(&["b"], ""),
    })
    .await;
    assert_eq!(objects(&live(&server).await, &pods()).await.len(), 2);

    let never = Server::start(|asked| match asked.get("continue") {
        "" => page(&["a"], "two"),
        _ => refused(410, "Expired", "too old"),
    })
    .await;
    assert!(matches!(why(&live(&never).await, &pods()).await, Why::Unreachable(text) if text.starts_with("410")));
    assert_eq!(never.asked("pods").len(), 6);
}

#[tokio::test]
async fn a_list_with_a_missing_page_is_unknown() {
    let server = Server::start(|asked| match asked.get("continue") {
        "" => page(&["a"], "two"),
        _ => refused(403, "Forbidden", "pods is forbidden: User \"alice\" cannot list"),
    })
    .await;
    let expected = Why::Forbidden("pods is forbidden: User \"alice\" cannot list".into());
    assert_eq!(why(&live(&server).await, &pods()).await, expected);

    let endless = Server::start(|_| page(&["a"], "same")).await;
    assert!(matches!(why(&live(&endless).await, &pods()).await, Why::Malformed(_)));
    let cut = Server::start(|_| Reply::Text(200, r#"{"kind":"PodList","items":[{"#.into())).await;
    assert!(matches!(why(&live(&cut).await, &pods()).await, Why::Malformed(_)));
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = Server::start(|asked| if asked.before == 0 { Reply::Busy(1) } else { page(&["a"], "") }).await;
    let connected = live(&server).await;
    let start = std::time::Instant::now();
    assert_eq!(objects(&connected, &pods()).await.len(), 1);
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After is kept");
    assert_eq!((connected.cost().requests, connected.cost().retries), (2, 1));

    let broken = Server::start(|_| refused(503, "ServiceUnavailable", "etcd is gone")).await;
    let connected = live(&broken).await;
    assert_eq!(why(&connected, &pods()).await, Why::Unreachable("503: etcd is gone".into()));
    assert_eq!((broken.asked("pods").len(), connected.cost().retries), (4, 3));
}

#[tokio::test]
async fn a_request_without_answer_ends() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        page(&[], "")
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let request_timeout = Some(Duration::from_millis(300));
    let options = Options { request_timeout, ..kubeconfig(folder.path(), &server.address, json!({})) };
    assert_eq!(why(&connect(&options).await.unwrap(), &pods()).await, Why::Timeout);
}

#[tokio::test]
async fn rows_come_without_objects() {
    let server = Server::start(|asked| {
        let (next, name) = if asked.get("continue").is_empty() { ("two", "a") } else { ("", "b") };
        Reply::Json(
            200,
            json!({"kind": "Table", "metadata": {"continue": next},
            "columnDefinitions": [{"name": "Name", "type": "string"}, {"name": "Ready", "type": "string"}],
            "rows": [{"cells": [name, "1/1"], "object": null}]}),
        )
    })
    .await;
    let fact = Fact::Rows { kind: kinds::DEPLOYMENT, ns: String::new(), label: "app=x".into() };
    let Answer::Rows(table) = live(&server).await.fetch(&fact).await.unwrap().answer else { panic!() };
    assert_eq!(table.columns, ["Name", "Ready"]);
    assert_eq!(table.cells, [[json!("a"), json!("1/1")], [json!("b"), json!("1/1")]]);
    for asked in server.asked("/apis/apps/v1/deployments") {
        assert_eq!(asked.accept, "application/json;as=Table;v=v1;g=meta.k8s.io");
        assert_eq!((asked.get("includeObject"), asked.get("limit")), ("None", "5000"));
    }
    let old = Server::start(|_| page(&["a"], "")).await;
    assert!(matches!(why(&live(&old).await, &fact).await, Why::Malformed(_)), "a list is no table");
}

#[tokio::test]
async fn an_absent_object_is_known_but_an_absent_path_is_not() {
    let server = Server::start(|asked| match asked.path.rsplit('/').next().unwrap() {
        "there" => Reply::Json(200, json!({"metadata": {"name": "there", "managedFields": []}})),
        "gone" => refused(404, "NotFound", "pods \"gone\" not found"),
        _ => Reply::Text(404, "404 page not found\n".into()),
    })
    .await;
    let live = live(&server).await;
    let pod = |name: &str| Fact::Object { kind: kinds::POD, ns: "rook-ceph".into(), name: name.into() };
    assert_eq!(objects(&live, &pod("there")).await.len(), 1);
    assert_eq!(objects(&live, &pod("gone")).await.len(), 0);
    assert_eq!(why(&live, &pod("../x")).await, Why::Unreachable("404: 404 page not found".into()));
    assert_eq!(server.asked("..%2Fx").len(), 1);
}

#[tokio::test]
async fn the_end_of_a_log_is_kept() {
    let server = Server::start(|asked| match asked.get("container") {
        "long" => Reply::Text(200, format!("{}the end\n", "2025-03-04T14:02:58Z x\n".repeat(150_000))),
        "waiting" => refused(400, "BadRequest", "container \"mon\" in pod \"p\" is waiting to start: PodInitializing"),
        _ => refused(500, "", "dial tcp 10.0.0.1:10250: connect: no route to host"),
    })
    .await;
    let live = live(&server).await;
    let log = |container: &str, previous| Fact::Log {
        ns: "rook-ceph".into(),
        pod: "p".into(),
        container: container.into(),
        previous,
    };
    let kept = text(&live, &log("long", false)).await;
    let lines = kept.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(lines == 2000 && kept.ends_with(b"x\nthe end\n"), "{lines} lines");
    assert!(
        matches!(why(&live, &log("waiting", false)).await, Why::Unreachable(text) if text.contains("is waiting to start"))
    );
    assert!(matches!(why(&live, &log("far", true)).await, Why::Unreachable(text) if text.contains("no route to host")));
    let far = server.asked("/log").into_iter().filter(|asked| asked.get("container") == "far").collect::<Vec<_>>();
    assert_eq!(far.len(), 1, "the kubelet's absence is an answer");
    assert_eq!((far[0].get("previous"), far[0].get("tailLines"), far[0].get("timestamps")), ("true", "2000", "true"));
}

#[tokio::test]
async fn discovery_reads_both_forms_and_requests_use_what_is_served() {
    let aggregated = |asked: &Asked| match asked.path.as_str() {
        "/api" => Reply::Json(
            200,
            json!({"kind": "APIGroupDiscoveryList",
            "items": [{"versions": [{"version": "v1", "resources": [{"resource": "pods"}]}]}]}),
        ),
        "/apis" => Reply::Json(
            200,
            json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "ceph.rook.io"}, "versions": [{"version": "v2", "resources": [{"resource": "cephclusters"}]}]}]}),
        ),
        _ => page(&["c"], ""),
    };
    let legacy = |asked: &Asked| match asked.path.as_str() {
        "/api" => Reply::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/api/v1" => Reply::Json(200, json!({"resources": [{"name": "pods"}, {"name": "pods/log"}]})),
        "/apis" => Reply::Json(
            200,
            json!({"kind": "APIGroupList", "groups": [
            {"name": "ceph.rook.io", "versions": [{"version": "v2"}]}, {"name": "kubeovn.io", "versions": [{"version": "v1"}]},
            {"name": "example.com", "versions": [{"version": "v1"}]}]}),
        ),
        "/apis/ceph.rook.io/v2" => Reply::Json(200, json!({"resources": [{"name": "cephclusters"}]})),
        "/apis/kubeovn.io/v1" => refused(404, "", "the aggregator is confused"),
        _ => page(&["c"], ""),
    };
    for (server, stale) in [(Server::start(aggregated).await, false), (Server::start(legacy).await, true)] {
        let live = live(&server).await;
        let Answer::Kinds(found) = live.fetch(&Fact::Discovery).await.unwrap().answer else { panic!() };
        assert!(found.contains("/pods") && found.contains("ceph.rook.io/cephclusters"), "{found:?}");
        assert_eq!(found.contains("kubeovn.io/subnets"), stale, "what could not be looked into counts as served");
        let clusters = Fact::List { kind: kinds::CEPH_CLUSTER, ns: None, select: Select::all() };
        assert_eq!(objects(&live, &clusters).await.len(), 1);
        assert_eq!(server.asked("/apis/ceph.rook.io/v2/cephclusters").len(), 1);
        assert!(server.asked("example.com").is_empty());
    }
}

fn mon_status(pod: &str) -> Fact {
    Fact::Socket {
        ns: "rook-ceph".into(),
        pod: pod.into(),
        container: "mon".into(),
        daemon: "mon.a".into(),
        command: "mon_status",
    }
}

#[tokio::test]
async fn a_command_is_drained_to_its_end() {
    let server = Server::start(|asked| match asked.path.as_str() {
        path if path.contains("/good/") => Reply::Ran(vec![b'x'; 300_000], "a warning".into(), 0),
        path if path.contains("/bad/") => {
            Reply::Ran(vec![b'x'; 300_000], format!("{}\nInvalid command\n", "e".repeat(70_000)), 22)
        }
        path if path.contains("/denied/") => refused(403, "Forbidden", "cannot create resource \"pods/exec\""),
        _ => refused(404, "NotFound", "pods \"gone\" not found"),
    })
    .await;
    let live = live(&server).await;
    assert_eq!(text(&live, &mon_status("good")).await.len(), 300_000);
    let Why::Failed { rc: 22, stderr } = why(&live, &mon_status("bad")).await else { panic!() };
    assert!(stderr.ends_with("Invalid command") && stderr.len() <= 300);
    assert_eq!(why(&live, &mon_status("denied")).await, Why::Forbidden("cannot create resource \"pods/exec\"".into()));
    assert_eq!(why(&live, &mon_status("gone")).await, Why::Unreachable("404: pods \"gone\" not found".into()));
    assert!(matches!(why(&live, &mon_status("../nodes")).await, Why::Malformed(_)));
    let line = "env -u CEPH_ARGS timeout 5 ceph --admin-daemon /run/ceph/ceph-mon.a.asok mon_status";
    assert_eq!(server.asked("/pods/good/exec")[0].command(), line);
}

#[tokio::test]
async fn a_command_that_never_answers_ends() {
    let server = Server::start(|_| Reply::Silence).await;
    let folder = tempfile::tempdir().unwrap();
    let timeout = Some(Duration::from_millis(500));
    let live = connect(&Options { timeout, ..kubeconfig(folder.path(), &server.address, json!({})) }).await.unwrap();
    assert_eq!(why(&live, &mon_status("p")).await, Why::Timeout);
}

/// Pods of an app as a table; those of the toolbox only if there is one.
fn ceph_pods(asked: &Asked, toolbox: bool) -> Reply {
    let app = asked.get("labelSelector").trim_start_matches("app=");
    let app = if app.starts_with("app in") { "rook-ceph-tools" } else { app };
    let columns = ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"].map(|name| json!({"name": name}));
    let rows = if app == "rook-ceph-tools" && !toolbox {
        json!([])
    } else {
        json!([{"cells": [format!("{app}-x"), "1/1", "Running", "0", "1d", "10.0.0.1", "w1"]}])
    };
    Reply::Json(200, json!({"kind": "Table", "metadata": {}, "columnDefinitions": columns, "rows": rows}))
}

fn ceph(command: CephCommand) -> Fact {
    Fact::Ceph { ns: "rook-ceph".into(), command }
}

fn know(live: &Live, external: bool) {
    let (ns, name, operator_ns) = ("rook-ceph".into(), "rook-ceph".into(), "operator".into());
    live.clusters(&[Cluster { ns, name, operator_ns, external }]);
}

const STATUS: &str = "\n{\"mgrmap\":{\"available\":true}}";

#[tokio::test]
async fn the_first_rung_that_answers_serves_all_commands() {
    let server = Server::start(|asked| match asked.path.as_str() {
        path if path.ends_with("/pods") => ceph_pods(asked, false),
        _ if asked.command().contains("status") => Reply::Ran(STATUS.into(), String::new(), 0),
        _ => Reply::Ran(b"\n{}".into(), String::new(), 0),
    })
    .await;
    let live = live(&server).await;
    know(&live, false);
    let facts = [ceph(CephCommand::Status), ceph(CephCommand::OsdTree), ceph(CephCommand::HealthDetail)];
    let answers = futures::future::join_all(facts.iter().map(|fact| text(&live, fact))).await;
    assert_eq!(answers[0], STATUS.as_bytes());
    assert_eq!(answers[1], b"\n{}");
    let commands: Vec<Asked> = server.asked("/exec");
    assert_eq!(commands.len(), 3, "one probe, which is the status, and two commands");
    assert!(commands.iter().all(|asked| asked.path == "/api/v1/namespaces/operator/pods/rook-ceph-operator-x/exec"));
    let probe =
        "timeout 8 ceph status --connect-timeout 5 --format json --conf=/var/lib/rook/rook-ceph/rook-ceph.config";
    assert_eq!(commands[0].command(), probe);
    assert_eq!(live.cost().exec_rung.as_deref(), Some("operator"));
    assert_eq!(live.ladder("rook-ceph"), [("toolbox".to_owned(), "unreachable: no running pod".to_owned())]);
}

#[tokio::test]
async fn two_silent_rungs_end_the_ladder() {
    let server = Server::start(|asked| match asked.path.as_str() {
        path if path.ends_with("/pods") => ceph_pods(asked, true),
        path if path.contains("tools") => Reply::Ran(vec![], "[errno 13] RADOS permission denied".into(), 13),
        _ => Reply::Ran(vec![], "timed out\n".into(), 1),
    })
    .await;
    let live = live(&server).await;
    know(&live, false);
    assert_eq!(why(&live, &ceph(CephCommand::Status)).await, Why::Timeout);
    assert_eq!(why(&live, &ceph(CephCommand::OsdTree)).await, Why::Timeout);
    assert_eq!(server.asked("/exec").len(), 3, "toolbox, operator, mon; not the mgr, and nothing twice");
    let tried = live.ladder("rook-ceph");
    assert_eq!(tried.iter().map(|(rung, _)| rung.as_str()).collect::<Vec<_>>(), ["toolbox", "operator", "mon"]);
    assert!(tried[0].1.contains("exit status 13") && tried[1].1.ends_with("no answer in time"), "{tried:?}");
}

#[tokio::test]
async fn a_refused_ladder_says_so() {
    let server = Server::start(|asked| match asked.path.as_str() {
        path if path.ends_with("/pods") => ceph_pods(asked, true),
        _ => refused(403, "Forbidden", "cannot create resource \"pods/exec\""),
    })
    .await;
    let live = live(&server).await;
    assert!(matches!(why(&live, &ceph(CephCommand::Status)).await, Why::Forbidden(_)));
    let blind = Server::start(|_| refused(404, "", "not here")).await;
    let live = self::live(&blind).await;
    let Why::Unreachable(summary) = why(&live, &ceph(CephCommand::Status)).await else { panic!() };
    assert!(summary.starts_with("toolbox: unreachable: 404: not here; operator: "), "{summary}");
}

#[tokio::test]
async fn connecting_tells_context_version_and_time() {
    let server = Server::start(|_| page(&[], "")).await;
    let live = live(&server).await;
    assert_eq!((live.context(), live.default_namespace()), ("lab", "storage"));
    assert_eq!(live.server_version().as_deref(), Some("v1.32.3"));
    let since = live.now().duration_since("2025-03-04T14:02:58Z".parse().unwrap());
    assert!(since.as_secs() < 60, "the server's clock, not ours: {since}");
}

#[tokio::test]
async fn each_stage_of_connecting_fails_under_its_own_name() {
    let server = Server::start(|_| page(&[], "")).await;
    let folder = tempfile::tempdir().unwrap();
    let fails = async |options: &Options| match connect(options).await {
        Err(error) => error,
        Ok(_) => panic!("connected"),
    };
    let good = kubeconfig(folder.path(), &server.address, json!({}));

    let absent = Options { kubeconfig: Some(folder.path().join("absent")), ..Options::default() };
    assert!(matches!(fails(&absent).await, ConnectError::NoKubeconfig(text) if text.contains("absent")));
    let context = Options { context: Some("prod".into()), ..good.clone() };
    assert_eq!(fails(&context).await, ConnectError::Kubeconfig("there is no context prod (it has lab)".into()));
    let tls = Options { server: Some(server.address.replace("http:", "https:")), ..good.clone() };
    let tls = fails(&tls).await;
    assert_eq!(tls.stage(), "TLS", "{tls}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = Options { server: Some(format!("http://{closed}")), ..good.clone() };
    assert!(matches!(fails(&refused).await, ConnectError::Connection { reason, .. } if reason.contains("refused")));

    let login = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never",
        "args": ["-c", "echo SSO session has expired >&2; echo secret; exit 3"]});
    let plugin = fails(&kubeconfig(folder.path(), &server.address, json!({"exec": login}))).await;
    assert_eq!(plugin.stage(), "credentials plugin");
    let said = plugin.to_string();
    assert!(said.contains("SSO session has expired") && said.contains('3') && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_refused_login_is_authentication() {
    let app = Router::new().fallback(|| async { (StatusCode::UNAUTHORIZED, r#"{"message":"Unauthorized"}"#) });
    let page = Router::new().fallback(|| async { "<html>log in</html>" });
    for (app, stage) in [(app, "authentication"), (page, "API")] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let error = connect(&kubeconfig(folder.path(), &address, json!({}))).await.err().unwrap();
        assert_eq!(error.stage(), stage, "{error}");
        assert!(!error.next_step().is_empty());
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(Mutex::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            drop(connection);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = connect(&kubeconfig(folder.path(), &address, json!({}))).await.err().unwrap();
    assert_eq!(error.stage(), "connection", "{error}");
    assert_eq!(*accepted.lock().unwrap(), 4);
}

#[tokio::test]
async fn what_an_external_user_may_not_ask_is_not_offered() {
    let denied = "Error EACCES: access denied: does your client key have mgr caps?";
    let server = Server::start(move |asked| match asked.path.as_str() {
        path if path.ends_with("/pods") => ceph_pods(asked, false),
        _ if asked.command().contains("ceph status") => Reply::Ran(STATUS.into(), String::new(), 0),
        _ => Reply::Ran(vec![], denied.into(), 13),
    })
    .await;
    for (external, word) in [(true, "not-offered"), (false, "failed")] {
        let live = live(&server).await;
        know(&live, external);
        assert_eq!(why(&live, &ceph(CephCommand::OsdTree)).await.word(), word);
    }
    let probe = server.asked("/exec")[0].command();
    assert!(
        probe.starts_with("sh -c conf=\"$1\"; shift;"),
        "the user is read from the operator's configuration: {probe}"
    );
}
