//! The double of the API server, and what is proved with it: a live cluster and its recording give one report.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Outcome, Scope, Status, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::live::{Live, Options, connect};
use rookdoctor::facts::{Cluster, Cost, Fact, Reading, Source, Unknown, Why, kinds};
use rookdoctor::report::{FailOn, Report, Run, SourceKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::double::{Act, Double, Fault, Faults};
use crate::scenarios;
use crate::support::{self, Scenario};

/// A live cluster, as comparable to its recording as it can be: its clock stands still, so that no age depends on
/// how fast this machine is, and what the recording lacks it does not tell either, by whatever error it says so.
struct Comparable<'b> {
    live: Live,
    now: Timestamp,
    recording: Option<&'b Bundle>,
}

impl Source for Comparable<'_> {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        Box::pin(async move {
            let answer = self.live.fetch(fact).await;
            let Some(recording) = self.recording else { return answer };
            match (recording.fetch(fact).await, answer) {
                (Err(Why::NotCaptured), Ok(answer)) => panic!("{fact} was not recorded, but read: {answer:?}"),
                (Err(Why::NotCaptured), Err(_)) => Err(Why::NotCaptured),
                // Of some namespaces only, say.
                (Ok(Reading { flaws, .. }), Ok(answer)) => {
                    let flaws = flaws.into_iter().filter(|why| *why == Why::NotCaptured).collect();
                    Ok(Reading { flaws, ..answer })
                }
                (_, answer) => answer,
            }
        })
    }
    fn now(&self) -> Timestamp {
        self.now
    }
    fn cost(&self) -> Cost {
        self.live.cost()
    }
    fn clusters(&self, clusters: &[Cluster]) {
        self.live.clusters(clusters);
    }
    fn server_version(&self) -> Option<String> {
        self.live.server_version()
    }
}

/// Connects to the server and diagnoses the one cluster that it holds.
fn diagnose_live(double: &Double, timeout: Duration, recording: Option<&Bundle>) -> (Diagnosis, Cost) {
    let options = Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(timeout), ..Options::default() };
    let scope = Scope { timeout, ..Scope::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let live = connect(&options).await.unwrap();
        let now = Timestamp::from_second(live.now().as_second()).unwrap();
        let source = Comparable { live, now, recording };
        let mut all = diagnose(&source, checks::ALL, &scope, &|_, _| {}).await;
        assert_eq!(all.len(), 1, "one CephCluster is expected");
        (all.remove(0), source.cost())
    })
}

/// Diagnoses a recorded cluster as a live one, with these faults on the way.
fn diagnose_with(name: &str, faults: Faults) -> (Diagnosis, Cost) {
    diagnose_live(&Double::serve(support::base(name), faults), A_MINUTE, None)
}

/// Runs the work in a few threads: most of the time of a diagnosis over HTTP is waiting.
pub fn each<T: Sync>(work: &[T], one: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(one(item));
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    wrong
}

/// The report, without what may differ between a cluster and its recording: the words of a reason.
fn report(diagnosis: &Diagnosis) -> Value {
    let run = Run {
        generated_at: Timestamp::UNIX_EPOCH,
        observed_at: Timestamp::UNIX_EPOCH,
        fail_on: FailOn::Warning,
        source: SourceKind::Live,
        context: None,
        kubernetes_version: None,
        cost: Cost::default(),
        duration: Duration::ZERO,
    };
    let mut report = serde_json::to_value(Report::new(diagnosis, &run)).unwrap();
    report["stats"] = Value::Null;
    report["order"] = report["findings"].as_array().unwrap().iter().map(|finding| finding["id"].clone()).collect();
    report["findings"] = by(&report["findings"], "id", |finding| finding.clone());
    report["checks"] = by(&report["checks"], "code", |check| check["status"].clone());
    report["unknowns"] = by(&report["unknowns"], "fact", |unknown| unknown["blinds"].clone());
    report
}

fn by(items: &Value, key: &str, keep: fn(&Value) -> Value) -> Value {
    let items = items.as_array().unwrap().iter();
    Value::Object(items.map(|item| (item[key].as_str().unwrap().to_owned(), keep(item))).collect())
}

/// Where two reports differ.
pub fn differences(at: &str, live: &Value, bundle: &Value, found: &mut Vec<String>) {
    match (live, bundle) {
        (Value::Object(live), Value::Object(bundle)) => {
            let keys: std::collections::BTreeSet<_> = live.keys().chain(bundle.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&format!("{at}/{key}"), &of(live), &of(bundle), found);
            }
        }
        (Value::Array(live), Value::Array(bundle)) if live.len() == bundle.len() => {
            for (index, (live, bundle)) in live.iter().zip(bundle).enumerate() {
                differences(&format!("{at}/{index}"), live, bundle, found);
            }
        }
        _ if live != bundle => found.push(format!("{at}:\n    live   {live}\n    bundle {bundle}")),
        _ => {}
    }
}

#[test]
fn a_cluster_and_its_recording_give_one_report() {
    let recorded = examples::ALL.iter().map(|example| (example.name.to_owned(), support::base(example.name)));
    let scenarios = Scenario::all().into_iter().map(|scenario| (scenario.name.clone(), scenario.tree()));
    let work: Vec<(String, Tree)> = recorded.chain(scenarios).collect();
    let wrong = each(&work, |(name, tree)| {
        let double = Double::serve(tree.clone(), Faults::none());
        let (live, _) = diagnose_live(&double, A_MINUTE, Some(&support::bundle(tree.clone())));
        let mut found = Vec::new();
        differences("", &report(&live), &report(scenarios::diagnosis(name)), &mut found);
        (!found.is_empty()).then(|| format!("## {name}\n{}\n", found.join("\n")))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const A_MINUTE: Duration = Duration::from_secs(60);
const BASE: &str = "healthy-classic-podnet";

/// Faults that pass do not change the report.
#[test]
fn what_heals_leaves_no_trace() {
    let pods = "/api/v1/namespaces/rook-ceph/pods";
    let clusters = "/apis/ceph.rook.io/v1/cephclusters";
    let (healthy, undisturbed) = diagnose_with(BASE, Faults::none());
    let expected = report(&healthy);
    assert_eq!(undisturbed.retries, 0);
    for (faults, retries) in [
        (Fault::at(clusters, Act::Busy(1)).times(1), 1),
        (Fault::at(clusters, Act::Refuse(500)).times(2), 2),
        (Fault::at("/api/v1/nodes", Act::Cut).times(1), 1),
        (Fault::at(pods, Act::Refuse(410)).query("continue=").times(1), 0),
    ] {
        let said = format!("{faults:?}");
        let double = Double::serve(support::base(BASE), Faults { page: 3, ..Faults::some([faults]) });
        let (live, cost) = diagnose_live(&double, A_MINUTE, None);
        let mut found = Vec::new();
        differences("", &report(&live), &expected, &mut found);
        assert!(found.is_empty(), "{said}: {}", found.join("\n"));
        assert_eq!(cost.retries, retries, "{said}");
        let asked = double.requests();
        let again = asked.iter().filter(|one| one.contains(clusters) && !one.contains("continue")).count() - 1;
        assert_eq!(again as u64, if said.contains(clusters) { retries } else { 0 }, "{said}");
        let first = |request: &&String| request.contains(pods) && !request.contains("continue=");
        let starts: Vec<&String> = asked.iter().filter(first).collect();
        let unique: BTreeSet<&&String> = starts.iter().collect();
        assert_eq!(starts.len() > unique.len(), said.contains("410"), "{said}: the list is read from its beginning");
    }
}

/// Where the toolbox cannot be reached, the operator is asked, which here lives in another namespace, and then the
/// monitors: each says the same.
#[test]
fn every_rung_of_the_ladder_gives_one_report() {
    const APART: &str = "healthy-hostnet-120";
    let (healthy, cost) = diagnose_with(APART, Faults::none());
    assert_eq!(cost.exec_rung.as_deref(), Some("toolbox"));
    let expected = report(&healthy);
    let names = shown(&Double::serve(support::base(APART), Faults::none()), "get pods -A -o name");
    let pods = |app: &str| -> Vec<String> {
        let of = names.lines().filter_map(|name| name.strip_prefix("pod/")).filter(|name| name.starts_with(app));
        of.map(|name| format!("/api/v1/namespaces/*/pods/{name}/exec")).collect()
    };
    let mut out_of_reach = Vec::new();
    for (app, next) in [("rook-ceph-tools", "operator"), ("rook-ceph-operator", "mon")] {
        out_of_reach.extend(pods(app).iter().map(|path| Fault::at(path, Act::Refuse(500))));
        let (live, cost) = diagnose_with(APART, Faults::some(out_of_reach.clone()));
        assert_eq!(cost.exec_rung.as_deref(), Some(next));
        assert_eq!(report(&live), expected, "{next}");
    }
}

/// 403 on one kind blinds the checks that read it, no others, and the report names the missing rule.
#[test]
fn a_refusal_blinds_only_those_who_need_it() {
    let (healthy, _) = diagnose_with(BASE, Faults::none());
    let (blind, _) = diagnose_with(BASE, Faults::some([Fault::at("/api/v1/nodes", Act::Refuse(403))]));
    let mut blinded = 0;
    for (before, after) in healthy.outcomes.iter().zip(&blind.outcomes) {
        let code = before.check.code;
        if after.status == Status::Unknown {
            blinded += 1;
            let nodes = |unknown: &Unknown| {
                matches!(&unknown.fact, Fact::Rows { kind, .. } | Fact::List { kind, .. }
                | Fact::Object { kind, .. } if *kind == kinds::NODE)
            };
            assert!(after.blind.iter().all(nodes), "{code} is blind for more than nodes: {:?}", after.blind);
        } else if !before.check.about_sight {
            assert_eq!(before.status, after.status, "{code}");
        }
    }
    assert!(blinded > 0);
    let report = report(&blind);
    assert_eq!(report["verdict"], "unknown");
    let remedies = report["findings"].to_string();
    assert!(remedies.contains("--verb=get,list --resource=nodes"), "{remedies}");
}

#[test]
fn without_exec_ceph_is_unknown() {
    let exec = "/api/v1/namespaces/*/pods/*/exec";
    let (blind, cost) = diagnose_with(BASE, Faults::some([Fault::at(exec, Act::Refuse(403))]));
    let status = |code: &str| blind.outcomes.iter().find(|outcome| outcome.check.code == code).unwrap().status;
    assert_eq!(
        (status("ACC002"), status("MON002"), status("CEPH009")),
        (Status::Found, Status::Unknown, Status::Unknown)
    );
    assert_eq!((status("NODE001"), cost.exec_rung), (Status::Passed, None));
    let report = report(&blind);
    assert_eq!(report["verdict"], "unknown");
    assert!(report["findings"].to_string().contains("pods/exec"), "{}", report["findings"]);
}

/// The run ends in time, with a report of what was seen until then.
#[test]
fn a_slow_server_is_not_waited_for() {
    let slow = Fault::at("/api/v1/events", Act::Slow(Duration::from_secs(20)));
    let double = Double::serve(support::base("story4c-quorum-lost"), Faults::some([slow]));
    let started = Instant::now();
    let (partly, _) = diagnose_live(&double, Duration::from_secs(2), None);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let late = |outcome: &&Outcome| outcome.blind.iter().any(|unknown| unknown.why == Why::Timeout);
    assert!(partly.outcomes.iter().filter(late).count() > 3);
    let found = partly.findings.iter().any(|placed| placed.check.code == "NODE001");
    assert!(found, "{}", support::outline(&partly));

    let started = Instant::now();
    let report: Value = serde_json::from_slice(&kubectl(&double, "rookdoctor --timeout 2s -o json").stdout).unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(report["unknowns"].as_array().unwrap().iter().any(|unknown| unknown["why"] == "timeout"));
}

/// What is read ahead for the sake of a round trip, but decides nothing while all is well.
/// Decisions hide nothing if they are not known, and nobody is blind for them.
const SPARE: [&str; 3] = ["poddisruptionbudgets", "network-attachment-definitions", "rookdoctor-suppressions"];

/// Whatever answer breaks off, the cluster is not called healthy, and nothing is found that is not there.
#[test]
fn a_broken_answer_is_never_health() {
    let double = Double::serve(support::base(BASE), Faults::none());
    let (whole, _) = diagnose_live(&double, A_MINUTE, None);
    assert_eq!(report(&whole)["verdict"], "healthy");
    let paths: BTreeSet<String> = double.requests().iter().filter_map(|request| listed(request)).collect();
    assert!(paths.len() > 15, "{paths:?}");
    let paths: Vec<String> = paths.into_iter().collect();
    let wrong = each(&paths, |path| {
        let (broken, _) = diagnose_with(BASE, Faults::some([Fault::at(path, Act::Truncate)]));
        let report = report(&broken);
        let decides = !SPARE.iter().any(|spare| path.ends_with(spare));
        let expected = if decides { "unknown" } else { "healthy" };
        (report["verdict"] != expected).then(|| format!("{path}: {} {}", report["verdict"], report["rootCauses"]))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The path of a request for objects or for discovery; a log is text, which may end anywhere.
fn listed(request: &str) -> Option<String> {
    let path = request.strip_prefix("GET ")?.split('?').next()?;
    (path != "/version" && !path.ends_with("/exec") && !path.ends_with("/log")).then(|| path.to_owned())
}

/// An answer of a real server, kept small.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    name: String,
    method: String,
    path: String,
    accept: String,
    user: String,
    status: u16,
    content_type: String,
    body: Value,
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kubernetes");

/// The cluster that the real server held when it gave these answers.
fn recorded_cluster() -> Tree {
    let mut tree = Tree::default();
    for (group, plural) in [("core", "pods"), ("core", "events"), ("apps", "deployments")] {
        let text = std::fs::read_to_string(format!("{DATA}/{plural}.json")).unwrap();
        let mut recorded: Value = serde_json::from_str(&text).unwrap();
        let objects = recorded["objects"].as_array_mut().unwrap();
        objects.retain(|object| object["metadata"]["namespace"].as_str().is_none_or(|ns| ns == "rook-ceph"));
        let list = json!({"kind": "List", "items": objects});
        tree.write(&format!("namespaces/rook-ceph/{group}/{plural}.json"), list.to_string().into_bytes());
    }
    let crd = json!({"kind": "CustomResourceDefinition", "metadata": {"name": "cephclusters.ceph.rook.io"},
        "spec": {"group": "ceph.rook.io", "scope": "Namespaced", "versions": [{"name": "v1"}],
            "names": {"plural": "cephclusters", "kind": "CephCluster", "shortNames": ["ceph"]}}});
    let crds = "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions";
    tree.write(&format!("{crds}/cephclusters.ceph.rook.io.yaml"), crd.to_string().into_bytes());
    let manifest = "{schemaVersion: 1, captureTime: '2026-11-21T20:05:29Z', coverage: {pods: ok, events: ok}}";
    tree.write("rookdoctor/manifest.yaml", manifest.into());
    tree
}

#[test]
fn the_double_answers_as_a_real_server() {
    let recorded = std::fs::read_to_string(format!("{DATA}/answers.json")).unwrap();
    let recorded: Vec<Recorded> = serde_json::from_str(&recorded).unwrap();
    let double = Double::serve(recorded_cluster(), Faults::none());
    let refusing = Double::serve(recorded_cluster(), Faults::some([Fault::at("/api", Act::Refuse(403))]));
    let mut wrong = Vec::new();
    for real in recorded {
        let server = if real.user == "alice" { &refusing } else { &double };
        let (status, content_type, body) = ask(server, &real.method, &real.path, &real.accept);
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        let mut found = Vec::new();
        differences("", &comparable(body), &comparable(real.body), &mut found);
        if (status, &content_type) != (real.status, &real.content_type) || !found.is_empty() {
            wrong.push(format!("## {} {status} {content_type}\n{}", real.name, found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One request over a connection of its own.
fn ask(double: &Double, method: &str, path: &str, accept: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(double.url().trim_start_matches("http://")).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: double\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
    (status, content_type.to_owned(), body.to_owned())
}

/// The kinds and parts that were kept of the real server's discovery.
const KEPT: [&str; 9] =
    ["pods", "nodes", "pods/log", "pods/exec", "log", "exec", "deployments", "cephclusters", "leases"];

/// A body without what no two servers share, and in discovery only the kinds that were kept.
fn comparable(mut body: Value) -> Value {
    if !body.is_object() {
        return body;
    }
    let is_kept = |kind: &Value| KEPT.iter().any(|kept| kind["resource"] == *kept || kind["name"] == *kept);
    if let Some(message) = body["message"].as_str() {
        let message = message.split(": invalid character").next().unwrap().replace("\"double\"", "\"alice\"");
        body["message"] = message.into();
    }
    if let Some(token) = body.pointer_mut("/metadata/continue") {
        *token = "token".into();
    }
    for column in body["columnDefinitions"].as_array_mut().into_iter().flatten() {
        *column = json!([column["name"], column["format"], column["priority"]]);
    }
    for metadata in
        body["rows"].as_array_mut().into_iter().flatten().filter_map(|row| row.pointer_mut("/object/metadata"))
    {
        *metadata = json!([metadata["namespace"], metadata["name"]]);
    }
    for group in body["items"].as_array_mut().into_iter().flatten().filter(|item| item["versions"].is_array()) {
        let versions = group["versions"].as_array_mut().unwrap();
        versions.iter_mut().for_each(|version| by_name(&mut version["resources"], is_kept));
        versions.retain(|version| version["resources"] != json!([]));
    }
    if body["kind"] == "APIGroupDiscoveryList" {
        by_name(&mut body["items"], |group| group["versions"] != json!([]));
    }
    by_name(&mut body["resources"], is_kept);
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|key, value| !value.is_null() && key != "apiVersion");
    }
    body
}

/// Keeps some of the resources, without their verbs, in the order of their names.
fn by_name(resources: &mut Value, keep: impl Fn(&Value) -> bool) {
    let Some(resources) = resources.as_array_mut() else { return };
    resources.retain(keep);
    for resource in resources.iter_mut() {
        if let Some(parts) = resource["subresources"].as_array_mut() {
            parts.retain(|part| KEPT.iter().any(|kept| part["subresource"] == *kept));
            parts.iter_mut().for_each(|part| drop(part.as_object_mut().map(|part| part.remove("verbs"))));
        }
        resource.as_object_mut().unwrap().retain(|key, value| key != "verbs" && !value.is_null());
    }
    resources.sort_by_key(|resource| format!("{}{}{}", resource["name"], resource["resource"], resource["metadata"]));
}

/// Runs the real kubectl against the server.
pub fn kubectl(double: &Double, arguments: &str) -> Output {
    let mut command = Command::new("kubectl");
    let ran = on_path(&mut command, double).args(arguments.split(' ')).output();
    ran.unwrap_or_else(|error| panic!("kubectl cannot be run ({error}): these tests need it, install it"))
}

/// A program that finds us as kubectl's plugin, and the server by its kubeconfig.
pub fn on_path<'c>(command: &'c mut Command, double: &Double) -> &'c mut Command {
    let plugin = Path::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor")).parent().unwrap();
    command
        .env("HOME", double.kubeconfig().parent().unwrap())
        .env("PATH", format!("{}:{}", plugin.display(), std::env::var("PATH").unwrap()))
        .env("KUBECONFIG", double.kubeconfig())
        // Needed by kubectl 1.29 only; later ones do it anyway.
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true")
}

/// What kubectl prints when all goes well.
pub fn shown(double: &Double, arguments: &str) -> String {
    let ran = kubectl(double, arguments);
    assert!(ran.status.success(), "kubectl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn kubectl_reads_the_double() {
    let double = Double::serve(support::base("story7-mon-down-one"), Faults::none());
    for (arguments, lines) in [
        ("get pods -n rook-ceph", &["NAME", "READY", "STATUS", "RESTARTS", "Pending"][..]),
        ("get pods -n rook-ceph -o wide", &["NOMINATED NODE", "READINESS GATES"]),
        ("get pods -A --chunk-size=5", &["NAMESPACE", "kube-system", "rook-ceph-mon-a"]),
        ("get nodes", &["control-plane", "SchedulingDisabled"]),
        ("get cephclusters -A", &["NAMESPACE", "rook-ceph"]),
        ("get deploy -n rook-ceph rook-ceph-operator", &["1/1"]),
        ("get po -n rook-ceph -o name", &["pod/rook-ceph-mon-a"]),
        ("get ns", &["kube-system"]),
    ] {
        let shown = shown(&double, arguments);
        assert!(lines.iter().all(|line| shown.contains(line)), "kubectl {arguments}:\n{shown}");
    }
    let mons = shown(&double, "get pods -n rook-ceph -l app=rook-ceph-mon --no-headers");
    assert!(mons.lines().count() >= 3 && mons.lines().all(|line| line.starts_with("rook-ceph-mon-")), "{mons}");
    let operator = shown(&double, "get pods -n rook-ceph -l app=rook-ceph-operator -o name");
    let log = shown(&double, &format!("logs -n rook-ceph --tail=2 {}", operator.trim()));
    assert_eq!(log.lines().count(), 2, "{log}");
    let absent = kubectl(&double, "get pod -n rook-ceph nobody");
    assert_eq!(String::from_utf8_lossy(&absent.stderr), "Error from server (NotFound): pods \"nobody\" not found\n");
    let absent = kubectl(&double, "delete pod -n rook-ceph nobody");
    assert_eq!(String::from_utf8_lossy(&absent.stderr), "Error from server (NotFound): pods \"nobody\" not found\n");
}

#[test]
fn kubectl_runs_commands_in_the_double() {
    let double = Double::serve(support::base(BASE), Faults::none());
    let operator = shown(&double, "get pods -n rook-ceph -l app=rook-ceph-operator -o name");
    let status = shown(&double, &format!("exec -n rook-ceph {} -- ceph status", operator.trim()));
    assert!(status.contains("health: HEALTH_OK"), "{status}");
    let tree = shown(&double, &format!("exec -n rook-ceph {} -- ceph osd tree --format json", operator.trim()));
    assert!(serde_json::from_str::<Value>(&tree).unwrap()["nodes"].is_array());

    let lost = Double::serve(support::base("story4c-quorum-lost"), Faults::none());
    let operator = shown(&lost, "get pods -n rook-ceph -l app=rook-ceph-operator -o name");
    let ran = kubectl(&lost, &format!("exec -n rook-ceph {} -- ceph status", operator.trim()));
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && stderr.contains("timed out"), "{:?}: {stderr}", ran.status);
}

#[test]
fn kubectl_runs_us_as_its_plugin() {
    for name in [BASE, "story4c-quorum-lost"] {
        let double = Double::serve(support::base(name), Faults::none());
        let ran = kubectl(&double, "rookdoctor diagnose -o json");
        let report: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)));
        let expected = self::report(scenarios::diagnosis(name));
        for field in ["verdict", "rootCauses", "exitCode"] {
            assert_eq!(report[field], expected[field], "{name}: {field}");
        }
        assert_eq!(ran.status.code().map(i64::from), report["exitCode"].as_i64(), "{name}");
        assert_eq!((&report["cluster"]["source"], &report["cluster"]["context"]), (&json!("live"), &json!("double")));
        assert!(report["stats"]["requests"].as_u64().unwrap() > 10, "{}", report["stats"]);
        let ended = kubectl(&double, "rookdoctor -q");
        assert_eq!(ended.status.code(), ran.status.code(), "{name}: the default command is the same");
    }
}
