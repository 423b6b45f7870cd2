//! `publish`, end to end: the program itself against the double, and small servers in the place of a Pushgateway.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rookdoctor::report::json::schema;
use serde_json::{Value, json};

use crate::double::{Act, Double, Fault, Faults};
use crate::fixes::{Bed, Ran, tree};

/// One root cause: a node is cordoned, and a monitor finds no other.
const STORY: &str = "story7-mon-down-one";
const ROOT: &str = "NODE011/Node/agate-3";
const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/rookdoctor-report";

fn config_map(bed: &Bed) -> Value {
    bed.double.object("default", "configmaps", "rookdoctor-report").expect("the ConfigMap")
}

fn text<'v>(config_map: &'v Value, key: &str) -> &'v str {
    config_map["data"][key].as_str().unwrap_or_else(|| panic!("no {key} in {config_map}"))
}

fn report(bed: &Bed) -> Value {
    serde_json::from_str(text(&config_map(bed), "report.json")).unwrap()
}

/// The Events that this tool made, in their order.
fn events(bed: &Bed) -> Vec<Value> {
    let writes = bed.double.writes();
    let made = writes.iter().filter(|write| write.starts_with("POST") && write.contains("/events")).count();
    let mut events = bed.double.objects("rook-ceph", "events");
    events.retain(|event| event["source"]["component"] == "kubectl-rookdoctor");
    assert_eq!(events.len(), made, "{writes:?}");
    events
}

fn brief(event: &Value) -> String {
    ["type", "reason", "message"].map(|key| event[key].as_str().unwrap()).join(" ")
}

/// What is new since so many Events.
fn since(bed: &Bed, known: &[Value]) -> Vec<String> {
    events(bed).iter().filter(|event| !known.contains(event)).map(brief).collect()
}

fn published(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn the_report_is_in_the_config_map_and_an_event_at_the_cluster() {
    let bed = Bed::of(STORY);
    let ran = bed.run("publish");
    published(&ran);
    assert!(
        ran.stdout.contains("NODE011 drain-blocked") && ran.stderr.contains("1 Event for new root causes"),
        "{ran:?}"
    );

    let there = config_map(&bed);
    assert_eq!(there["metadata"]["labels"]["rookdoctor.dev/report"], "true");
    assert_eq!(there["metadata"].get("annotations"), None, "nothing was left out");
    let report = report(&bed);
    assert!(jsonschema::validator_for(&schema()).unwrap().is_valid(&report));
    assert_eq!((&report["rootCauses"], &report["exitCode"]), (&json!([ROOT]), &1.into()), "as `diagnose` ends");
    let head = text(&there, "summary.md").lines().next().unwrap_or_default();
    assert!(head.starts_with("# ") && head.ends_with("rook-ceph/rook-ceph: warning"), "{there}");

    let events = events(&bed);
    assert_eq!(events.len(), 1, "{events:?}");
    let (event, cluster) = (&events[0], bed.double.object("rook-ceph", "cephclusters", "rook-ceph").unwrap());
    assert_eq!(
        brief(event),
        "Warning DrainBlocked NODE011 warning: node agate-3 is cordoned, and there is no other node for mon.c \
         (kubectl rookdoctor explain NODE011)"
    );
    let regarding = json!({"apiVersion": "ceph.rook.io/v1", "kind": "CephCluster", "namespace": "rook-ceph",
        "name": "rook-ceph", "uid": cluster["metadata"]["uid"]});
    assert_eq!(event["involvedObject"], regarding);
    let known: k8s_openapi::api::core::v1::Event = serde_json::from_value(event.clone()).unwrap();
    assert!(known.first_timestamp.is_some() && known.count == Some(1));
}

#[test]
fn what_was_told_is_not_told_again() {
    let bed = Bed::of(STORY);
    published(&bed.run("publish"));
    let (first, before) = (events(&bed), report(&bed));
    published(&bed.run("publish"));
    assert_eq!(since(&bed, &first), [] as [&str; 0]);
    assert_ne!(report(&bed)["generatedAt"], before["generatedAt"], "the report is that of the second run");
}

#[test]
fn what_is_new_and_what_is_gone_is_told_once() {
    let bed = Bed::of(STORY);
    published(&bed.run("publish"));
    let first = events(&bed);
    bed.double.change(|cluster| {
        cluster
            .edit("", "nodes", "agate-3", |node| drop(node["spec"].as_object_mut().unwrap().remove("unschedulable")));
    });
    let ran = bed.run("publish");
    published(&ran);
    let news = since(&bed, &first);
    let roots = report(&bed)["rootCauses"].as_array().unwrap().len();
    assert!(roots > 0, "the monitor is still missing");
    let (gone, new): (Vec<_>, Vec<_>) = news.iter().partition(|event| event.starts_with("Normal"));
    assert_eq!(gone, [&format!("Normal DrainBlockedGone NODE011 is gone: {ROOT}")], "{ran:?}");
    assert_eq!(new.len(), roots, "{news:?}");
    let second = events(&bed);
    published(&bed.run("publish"));
    assert_eq!(since(&bed, &second), [] as [&str; 0]);
}

#[test]
fn what_cannot_be_seen_is_neither_gone_nor_new_when_it_is_seen_again() {
    let bed = Bed::of(STORY);
    published(&bed.run("publish"));
    let first = events(&bed);
    bed.double.deny("list", "nodes");
    let ran = bed.run("publish --skip MON");
    published(&ran);
    let roots = report(&bed)["rootCauses"].clone();
    assert_eq!(roots, json!(["ACC002/CephCluster/rook-ceph/rook-ceph"]), "{ran:?}");
    published(&bed.run("publish --only OSD"));
    bed.double.allow();
    published(&bed.run("publish"));
    assert_eq!(report(&bed)["rootCauses"], json!([ROOT]));
    let news = since(&bed, &first);
    assert!(news.len() == 2 && news.iter().all(|event| event.contains("ACC002")), "only of sight: {news:?}");
}

#[test]
fn an_unreadable_memory_floods_nobody() {
    let bed = Bed::of(STORY);
    published(&bed.run("publish"));
    let first = events(&bed);
    for broken in [json!("{"), Value::Null] {
        bed.double.change(|cluster| {
            cluster.edit("default", "configmaps", "rookdoctor-report", |map| match &broken {
                Value::Null => drop(map["data"].as_object_mut().unwrap().remove("told.json")),
                broken => map["data"]["told.json"] = broken.clone(),
            });
        });
        let ran = bed.run("publish");
        published(&ran);
        assert!(ran.says("what was told before is not known (told.json"), "{ran:?}");
        assert_eq!(since(&bed, &first), [] as [&str; 0]);
        let told: Value = serde_json::from_str(text(&config_map(&bed), "told.json")).unwrap();
        assert_eq!(told["rootCauses"], json!([{"cluster": "rook-ceph/rook-ceph", "id": ROOT}]));
    }
}

#[test]
fn a_config_map_of_somebody_else_stays_as_it_is() {
    let bed = Bed::of(STORY);
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "other", "namespace": "rook-ceph", "uid": "u", "resourceVersion": "7"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [foreign]});
    bed.double.change(|cluster| cluster.write("namespaces/rook-ceph/core/configmaps/other.yaml", list.to_string()));
    let before = bed.double.object("rook-ceph", "configmaps", "other").unwrap();
    let ran = bed.run("publish --configmap rook-ceph/other");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.says("is not this tool's") && ran.stdout.contains("NODE011"), "the log has the diagnosis: {ran:?}");
    assert_eq!(bed.double.object("rook-ceph", "configmaps", "other").unwrap(), before);
    assert_eq!(bed.double.writes(), [] as [&str; 0], "what is not remembered is not told");
}

#[test]
fn what_others_put_into_the_config_map_stays() {
    let bed = Bed::of(STORY);
    published(&bed.run("publish"));
    bed.double.change(|cluster| {
        cluster.edit("default", "configmaps", "rookdoctor-report", |map| {
            map["data"]["note"] = "ours".into();
            map["metadata"]["annotations"] = json!({"a": "b", "rookdoctor.dev/left-out": "something"});
        });
    });
    published(&bed.run("publish"));
    let there = config_map(&bed);
    assert_eq!((text(&there, "note"), &there["metadata"]["annotations"]), ("ours", &json!({"a": "b"})));
}

#[test]
fn who_may_not_write_is_told_so() {
    for (verb, resource, said) in [
        ("create", "configmaps", "the report was not written to ConfigMap default/rookdoctor-report"),
        ("get", "configmaps", "what is there cannot be read"),
        ("create", "events", "not all Events at CephCluster rook-ceph/rook-ceph were made"),
    ] {
        let bed = Bed::of(STORY);
        bed.double.deny(verb, resource);
        let ran = bed.run("publish");
        assert!(ran.code == Some(3) && ran.says(said), "{verb} {resource}: {ran:?}");
        assert!(ran.stdout.contains("NODE011"), "{ran:?}");
        assert_eq!(events(&bed), [] as [Value; 0]);
        // As soon as it may, it tells.
        bed.double.allow();
        published(&bed.run("publish"));
        assert_eq!(events(&bed).len(), 1, "{verb} {resource}");
    }
}

#[test]
fn a_conflict_is_tried_again_with_what_the_other_wrote() {
    let conflict = || Fault::at(CONFIG_MAP, Act::Refuse(409)).method("PUT");
    let bed = Bed::with(Double::serve(tree(STORY), Faults::some([conflict().times(2)])));
    published(&bed.run("publish"));
    published(&bed.run("publish"));
    let puts = |bed: &Bed| bed.double.requests().iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(puts(&bed), 3, "twice refused, once written");
    let bed = Bed::with(Double::serve(tree(STORY), Faults::some([conflict()])));
    published(&bed.run("publish"));
    let ran = bed.run("publish");
    assert!(ran.code == Some(3) && ran.says("it changed meanwhile"), "{ran:?}");
    assert_eq!(puts(&bed), 5, "it gives up");
    assert_eq!(events(&bed).len(), 1);
}

#[test]
fn an_event_whose_answer_was_lost_is_not_made_twice() {
    let lost = Fault::at("/api/v1/namespaces/rook-ceph/events", Act::Cut).method("POST").times(1);
    let bed = Bed::with(Double::serve(tree(STORY), Faults::some([lost])));
    let ran = bed.run("publish");
    published(&ran);
    let posts = bed
        .double
        .requests()
        .iter()
        .filter(|request| request.starts_with("POST") && request.contains("/events"))
        .count();
    assert_eq!((posts, events(&bed).len()), (2, 1), "{ran:?}");
}

#[test]
fn the_exit_status_is_that_of_the_publication_unless_asked_otherwise() {
    let bed = Bed::of(STORY);
    assert_eq!(bed.run("publish --fail-on warning").code, Some(1));
    assert_eq!(bed.run("publish --fail-on critical").code, Some(0));
    assert_eq!(bed.run("publish --fail-on never").code, Some(0));
    bed.double.deny("update", "configmaps");
    assert_eq!(bed.run("publish --fail-on warning").code, Some(1), "the worse of both");
    assert_eq!(bed.run("publish --fail-on never").code, Some(3));
}

#[test]
fn without_a_cluster_the_metrics_still_tell() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rookdoctor.prom");
    let bed = Bed::of(STORY);
    let ran = bed.run(&format!("publish --server http://127.0.0.1:1 --timeout 5s --metrics-file {}", file.display()));
    assert!(ran.code == Some(3) && ran.says("there is no connection to the cluster"), "{ran:?}");
    let metrics = std::fs::read_to_string(&file).unwrap();
    assert!(metrics.contains("rookdoctor_exit_code{ceph_cluster=\"\",ceph_namespace=\"\"} 3"), "{metrics}");
    let ran = bed.run(&format!("publish --metrics-file {}/absent/x.prom", folder.path().display()));
    assert!(ran.code == Some(3) && ran.says("the metrics were not written"), "{ran:?}");
    assert_eq!(report(&bed)["rootCauses"], json!([ROOT]), "one failure does not keep the other from its place");
}

/// A gateway that answers every request alike, or never; and what it was sent.
fn gateway(answer: Option<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&received);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut buffer = [0; 8192];
            while let Some(missing) = missing(&request) {
                let read = if missing == 0 { 0 } else { stream.read(&mut buffer).unwrap() };
                if read == 0 {
                    break;
                }
                request.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            log.lock().unwrap().push(request);
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                None => open.push(stream),
            }
        }
    });
    (address, received)
}

/// How much of a request is still to come; none if that is not known yet, which counts as something.
fn missing(request: &str) -> Option<usize> {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return Some(1) };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    Some(length.unwrap().trim().parse::<usize>().unwrap().saturating_sub(body.len()))
}

#[test]
fn the_metrics_are_pushed_in_the_place_of_those_before() {
    let (address, received) = gateway(Some("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"));
    let bed = Bed::of(STORY);
    let ran = bed.run(&format!("publish -n rook-ceph --push {address}"));
    published(&ran);
    assert!(ran.says("pushed the metrics to"), "{ran:?}");
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 1);
    assert!(received[0].starts_with("PUT /metrics/job/rookdoctor/instance/rook-ceph HTTP/1.1\r\n"), "{}", received[0]);
    assert!(received[0].contains("text/plain; version=0.0.4"), "{}", received[0]);
    assert!(received[0].contains("rookdoctor_root_cause{") && received[0].contains(ROOT), "{}", received[0]);
}

#[test]
fn a_gateway_that_refuses_or_hangs_or_is_away_fails_the_run_and_nothing_else() {
    let (broken, _) = gateway(Some("HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\ndisk full"));
    let (hanging, _) = gateway(None);
    for (address, said) in [
        (broken.as_str(), "500 Internal Server Error: disk full"),
        (hanging.as_str(), "no answer within 10 s"),
        ("http://127.0.0.1:1", "refused"),
    ] {
        let bed = Bed::of(STORY);
        let started = Instant::now();
        let ran = bed.run(&format!("publish --push {address}"));
        assert!(ran.code == Some(3) && ran.says("the metrics were not pushed") && ran.says(said), "{address}: {ran:?}");
        assert!(started.elapsed() < Duration::from_secs(40));
        assert_eq!((report(&bed)["rootCauses"].clone(), events(&bed).len()), (json!([ROOT]), 1));
    }
}
