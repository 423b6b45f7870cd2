//! The engine itself: rounds, several clusters, a namespace that is all one may see, and the order of causes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::check::{Answered, Area, Check, Finding, ObjectRef, Place, Remedy, Scope as Meet, Severity};
use rookdoctor::diagnosis::{Diagnosis, Scope, Status, diagnose};
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Answer, Cost, Fact, Facts, Gap, OPEN_AT_MOST, Reading, Row, Source, Unknown, Why, kinds};
use rookdoctor::{checks, say};
use serde_json::{Value, json};

use crate::support;

fn all(source: &dyn Source, checks: &[&'static Check], scope: &Scope) -> Vec<Diagnosis> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(diagnose(source, checks, scope, &|_, _| {}))
}

/// Serves a recorded cluster, refuses what it is told to, and remembers what was asked.
struct Refusing {
    inner: Bundle,
    refuse: fn(&Fact) -> Option<Why>,
    asked: Mutex<Vec<Fact>>,
}

impl Refusing {
    fn new(base: &str, refuse: fn(&Fact) -> Option<Why>) -> Self {
        Self { inner: support::bundle(support::base(base)), refuse, asked: Mutex::default() }
    }
}

impl Source for Refusing {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        self.asked.lock().unwrap().push(fact.clone());
        match (self.refuse)(fact) {
            Some(why) => async { Err(why) }.boxed(),
            None => self.inner.fetch(fact),
        }
    }
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn cost(&self) -> Cost {
        self.inner.cost()
    }
    fn server_version(&self) -> Option<String> {
        self.inner.server_version()
    }
}

#[test]
fn each_fact_is_read_once_and_in_few_rounds() {
    let source = Refusing::new("story5-kubeovn-after-reboot", |_| None);
    let diagnosis = all(&source, checks::ALL, &Scope::default()).remove(0);
    let asked = source.asked.lock().unwrap();
    let unique: BTreeSet<&Fact> = asked.iter().collect();
    assert_eq!(unique.len(), asked.len(), "a fact was read twice");
    assert!(diagnosis.rounds <= 6, "{} rounds", diagnosis.rounds);
}

#[test]
fn two_clusters_are_diagnosed_over_one_store() {
    let mut tree = support::base("healthy-hostnet-120");
    let path = "namespaces/storage/ceph.rook.io/cephclusters.yaml";
    let first = tree.file(path).unwrap().objects().unwrap()[0].clone();
    let mut second = first.clone();
    second["metadata"]["name"] = json!("other");
    second["metadata"]["namespace"] = json!("kube-public");
    let second = serde_json::to_vec(&second).unwrap();
    tree.write("namespaces/kube-public/ceph.rook.io/cephclusters/other.yaml", second);
    let source = support::bundle(tree);
    let names = |scope: &Scope| -> Vec<String> {
        let diagnoses = all(&source, checks::ALL, scope);
        diagnoses.into_iter().filter_map(|diagnosis| Some(diagnosis.cluster?.name)).collect()
    };
    let mut both = names(&Scope::default());
    both.sort();
    assert_eq!(both, ["larch-ceph", "other"]);
    assert_eq!(names(&Scope { cluster_name: Some("other".into()), ..Scope::default() }), ["other"]);
    assert_eq!(names(&Scope { namespace: Some("storage".into()), ..Scope::default() }), ["larch-ceph"]);
}

/// The recorded cluster, and another one like it in a namespace of its own, under the same operator.
fn with_a_second_cluster() -> Tree {
    let mut tree = support::base("healthy-classic-podnet");
    let copies: Vec<(String, Vec<u8>)> = tree
        .below("")
        .filter_map(|(path, file)| {
            let to = path.strip_prefix("namespaces/rook-ceph/").map(|rest| format!("namespaces/rook-two/{rest}"));
            let of_ceph = || path.strip_prefix("ceph/namespaces/rook-ceph/");
            let to = to.or_else(|| of_ceph().map(|rest| format!("ceph/namespaces/rook-two/{rest}")))?;
            if to.starts_with("ceph/") {
                return Some((to, file.bytes().ok()?.to_vec()));
            }
            let objects = file.objects().ok()?.to_vec();
            let mine = |object: &Value| {
                let app = object.pointer("/metadata/labels/app").and_then(Value::as_str).unwrap_or_default();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                !app.starts_with("csi-") && !name.contains("csi") && !name.contains("operator")
            };
            let moved = |mut object: Value| {
                object["metadata"]["namespace"] = json!("rook-two");
                for labels in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
                    if let Some(cluster) = object.pointer_mut(labels).and_then(|labels| labels.get_mut("rook_cluster"))
                    {
                        *cluster = json!("rook-two");
                    }
                }
                object
            };
            let items: Vec<Value> = objects.into_iter().filter(mine).map(moved).collect();
            Some((to, serde_json::to_vec(&json!({"apiVersion": "v1", "kind": "List", "items": items})).unwrap()))
        })
        .collect();
    copies.into_iter().for_each(|(path, text)| tree.write(&path, text));
    tree
}

#[test]
fn clusters_under_one_operator_do_not_see_each_others_faults() {
    let roots = |tree: &Tree| -> Vec<(String, Vec<String>)> {
        let diagnoses = all(&support::bundle(tree.clone()), checks::ALL, &Scope::default());
        let roots = |diagnosis: &Diagnosis| -> Vec<String> {
            diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.clone()).collect()
        };
        diagnoses.iter().map(|diagnosis| (diagnosis.cluster.clone().unwrap().ns, roots(diagnosis))).collect()
    };
    let mut tree = with_a_second_cluster();
    for diagnosis in all(&support::bundle(tree.clone()), checks::ALL, &Scope::default()) {
        let open = diagnosis.outcomes.iter().find(|outcome| outcome.status == Status::Unknown);
        assert!(open.is_none(), "{open:?}");
    }
    let healthy = |ns: &str| (ns.to_owned(), Vec::new());
    assert_eq!(roots(&tree), [healthy("rook-ceph"), healthy("rook-two")]);
    let path = "namespaces/rook-two/core/pods.yaml";
    let mut pods = tree.file(path).unwrap().objects().unwrap().to_vec();
    let osd = pods.iter_mut().find(|pod| pod["metadata"]["labels"]["ceph-osd-id"] == "0").unwrap();
    osd["status"]["containerStatuses"][0] = json!({"name": "osd", "ready": false, "restartCount": 9, "image": "",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2024-07-09T07:50:00Z"}}});
    tree.write(path, serde_json::to_vec(&json!({"apiVersion": "v1", "kind": "List", "items": pods})).unwrap());
    let found = roots(&tree);
    assert_eq!(found[0], healthy("rook-ceph"));
    assert!(!found[1].1.is_empty() && found[1].1.iter().all(|id| id.contains("rook-two")), "{found:?}");
}

#[test]
fn a_user_who_may_see_one_namespace_still_gets_a_diagnosis() {
    let everywhere = |fact: &Fact| match fact {
        Fact::List { kind, ns: None, .. } if kind.namespaced => Some(Why::Forbidden("cluster scope".into())),
        _ => None,
    };
    let source = Refusing::new("healthy-classic-podnet", everywhere);
    let diagnosis = all(&source, checks::ALL, &Scope::default()).remove(0);
    assert_eq!(diagnosis.cluster.as_ref().unwrap().name, "rook-ceph");
    let status = |code: &str| diagnosis.outcomes.iter().find(|outcome| outcome.check.code == code).unwrap().status;
    assert_eq!(status("ACC002"), Status::Found, "the missing rule is reported");
    assert_eq!(status("MON001"), Status::Passed, "what can be seen is judged");
}

#[test]
fn what_was_seen_before_the_deadline_is_reported() {
    struct Hanging(Bundle);
    impl Source for Hanging {
        fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
            match fact {
                Fact::Ceph { .. } => futures::future::pending().boxed(),
                _ => self.0.fetch(fact),
            }
        }
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn cost(&self) -> Cost {
            self.0.cost()
        }
        fn server_version(&self) -> Option<String> {
            self.0.server_version()
        }
    }
    let source = Hanging(support::bundle(support::base("story7-mon-down-one")));
    let scope = Scope { timeout: Duration::from_secs(2), ..Scope::default() };
    let start = std::time::Instant::now();
    let diagnosis = all(&source, checks::ALL, &scope).remove(0);
    assert!(start.elapsed() < Duration::from_secs(20), "the deadline did not hold");
    let status = |code: &str| diagnosis.outcomes.iter().find(|outcome| outcome.check.code == code).unwrap().status;
    assert_eq!(status("CEPH004"), Status::Unknown);
    assert_eq!(status("ACC005"), Status::Unknown, "our own haste says nothing of Ceph");
    assert_eq!(status("MON006"), Status::Found, "later rounds go on while an answer hangs");
}

// A small tree of made-up checks: LOW explains MIDDLE on a node, MIDDLE explains HIGH; ASIDE stands alone.

fn found(severity: Severity, name: &str, node: &str) -> Result<Answered, Gap> {
    let finding = Finding::new(severity, ObjectRef::node(name), say!("x"), Remedy::advice(say!("y")));
    Ok(Answered::judged(vec![finding.at([Place::node(node)])]))
}

const fn made_up(code: &'static str, area: Area, run: fn(&Facts<'_>) -> Result<Answered, Gap>) -> Check {
    Check {
        code,
        name: code,
        area,
        docs: "",
        needs: &[],
        explained_by: &[],
        in_pod: false,
        symptom: false,
        about_sight: false,
        run,
        fix: None,
    }
}

static LOW: Check = made_up("NODE901", Area::Node, |_| found(Severity::Warning, "low", "w1"));
static MIDDLE: Check = Check {
    explained_by: &[(&LOW, Meet::Node)],
    ..made_up("MON901", Area::Mon, |_| found(Severity::Warning, "middle", "w1"))
};
static HIGH: Check = Check {
    explained_by: &[(&MIDDLE, Meet::Node)],
    ..made_up("OSD901", Area::Osd, |_| found(Severity::Critical, "high", "w1"))
};
static ASIDE: Check = made_up("NODE900", Area::Node, |_| found(Severity::Warning, "aside", "w2"));
static CONTEXT: Check = made_up("NODE902", Area::Node, |_| found(Severity::Info, "context", "w1"));
static BY_CONTEXT: Check = Check {
    explained_by: &[(&CONTEXT, Meet::Node), (&BLIND, Meet::Node)],
    symptom: true,
    ..made_up("CSI901", Area::Csi, |_| found(Severity::Warning, "by context", "w1"))
};
static BLIND: Check = made_up("NET901", Area::Net, |facts| {
    Err(Gap::Unknown(Unknown { fact: Fact::Discovery, why: Why::Forbidden(facts.now().to_string()) }))
});
/// Wants a fact that the source answers, again and again another.
static ENDLESS: Check = made_up("NET902", Area::Net, |facts| {
    for number in 0..100 {
        facts.object::<rookdoctor::objects::kube::Pod>("rook-ceph", &format!("pod-{number}"))?;
    }
    Ok(Answered::passed())
});

static MANY: Check = made_up("NET903", Area::Net, |facts| {
    let opened = facts.each(0..100, |facts, number| {
        facts.object::<rookdoctor::objects::kube::Pod>("rook-ceph", &format!("pod-{number}"))
    })?;
    Ok(Answered::passed().blind(opened.blind))
});

fn judged(checks: &[&'static Check]) -> Diagnosis {
    all(&support::bundle(support::base("healthy-classic-podnet")), checks, &Scope::default()).remove(0)
}

#[test]
fn roots_rank_by_what_they_explain_and_info_explains_nothing() {
    let diagnosis = judged(&[&ASIDE, &LOW, &CONTEXT, &MIDDLE, &HIGH]);
    let roots: Vec<&str> = diagnosis.roots.iter().map(|&at| diagnosis.findings[at].check.code).collect();
    assert_eq!(roots, ["NODE901", "NODE900"], "a warning that explains something critical comes first");
    let low = diagnosis.roots[0];
    let below: Vec<&str> = diagnosis.below(low).iter().map(|&at| diagnosis.findings[at].check.code).collect();
    assert_eq!(below, ["MON901", "OSD901"]);
    assert_eq!(diagnosis.findings[0].id, "NODE900/Node/aside");
}

#[test]
fn a_cause_lost_from_sight_is_not_ruled_out() {
    let diagnosis = judged(&[&CONTEXT, &BLIND, &BY_CONTEXT]);
    let placed = &diagnosis.findings[diagnosis.roots[0]];
    assert_eq!((placed.check.code, placed.not_ruled_out.as_slice()), ("CSI901", ["NET901"].as_slice()));
}

#[test]
fn a_check_that_never_ends_asking_is_unknown() {
    let diagnosis = judged(&[&ENDLESS]);
    assert_eq!(diagnosis.outcomes[0].status, Status::Unknown);
    assert!(diagnosis.outcomes[0].why().contains("internal error"), "{}", diagnosis.outcomes[0].why());
    assert!(diagnosis.rounds <= 8);
}

#[test]
fn a_flaw_of_reading_leaves_findings_and_opens_passes() {
    struct Flawed(Bundle);
    impl Source for Flawed {
        fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
            async move {
                let mut reading = self.0.fetch(fact).await?;
                if matches!(fact, Fact::Rows { kind: kinds::Kind { plural: "nodes", .. }, .. }) {
                    reading.flaws.push(Why::Malformed("nodes/w1.yaml: not YAML".into()));
                }
                assert!(!matches!(reading.answer, Answer::Kinds(ref kinds) if kinds.is_empty()));
                Ok(reading)
            }
            .boxed()
        }
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn cost(&self) -> Cost {
            self.0.cost()
        }
        fn server_version(&self) -> Option<String> {
            self.0.server_version()
        }
    }
    static READS: Check = Check {
        needs: &[Row::Nodes],
        ..made_up("NODE903", Area::Node, |facts| facts.nodes().map(|_| Answered::passed()))
    };
    let source = Flawed(support::bundle(support::base("healthy-classic-podnet")));
    let diagnosis = all(&source, &[&READS, &LOW], &Scope::default()).remove(0);
    let statuses: Vec<Status> = diagnosis.outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [Status::Unknown, Status::Found]);
}

#[test]
fn objects_that_are_not_opened_are_a_blind_spot() {
    let source = Refusing::new("healthy-classic-podnet", |_| None);
    let diagnosis = all(&source, &[&MANY], &Scope::default()).remove(0);
    let outcome = &diagnosis.outcomes[0];
    let whys: Vec<&Why> = outcome.blind.iter().map(|unknown| &unknown.why).collect();
    assert_eq!((outcome.status, whys.as_slice()), (Status::Unknown, [&Why::OverBudget].as_slice()));
    let asked = source.asked.lock().unwrap();
    let pods = asked.iter().filter(|fact| matches!(fact, Fact::Object { name, .. } if name.starts_with("pod-")));
    assert_eq!(pods.count(), OPEN_AT_MOST);
}
