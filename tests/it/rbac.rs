//! The printed roles: every request of many clusters passes through them, and nothing is granted that none needs.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role as NamespacedRole, RoleBinding};
use rookdoctor::capture::{Plan, capture};
use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::live::{Options, connect};
use rookdoctor::overview;
use rookdoctor::rbac::manifests::{Wanted, manifests};
use rookdoctor::rbac::{Places, Reach, Role, blind};
use serde_json::Value;

use crate::api::each;
use crate::cli;
use crate::double::{Act, Double, Fault, Faults};
use crate::fixes::{self, Bed, tree};

const A_MINUTE: Duration = Duration::from_secs(60);

/// Scenarios in which something is read that no recorded cluster makes anyone read.
const SCENARIOS: [&str; 22] = [
    "ACC004-cephcluster-missing-near-miss",
    "ACC005-ceph-command-unavailable-near-miss",
    "ACC006-no-endpoints",
    "ACC006-webhook-dead",
    "CEPH012-zone-absent",
    "CSI001-service-account-missing",
    "CSI002-standby-crashes",
    "CSI005-ingress-holds-the-gateways-port",
    "CSI006-forgotten-driver",
    "CSI009-monitors-of-before",
    "CSI016-backend-missing",
    "CSI017-no-controller",
    "IMG005-ec-optimizations",
    "NET015-one-left-behind",
    "NODE006-scaled-to-zero",
    "NODE013-quota",
    "OPR008-filesystem",
    "OPR013-two-operators",
    "OSD012-no-local-volume",
    "OVN001-no-pods",
    "OVN012-card-missing",
    "combined-nodes-readdressed",
];

/// Where something runs in these clusters that belongs neither to the cluster nor to its operator.
const ALSO: [&str; 3] = ["csi-addons-system", "rook-trial", "rook-second"];

/// One thing that is allowed, or asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: String,
    /// `pods/log`, `cephclusters.ceph.rook.io`
    pub resource: String,
    /// Empty for all namespaces, and for none.
    pub ns: String,
}

impl Right {
    fn new(verb: &str, group: &str, resource: &str, ns: &str) -> Self {
        let dot = if group.is_empty() { "" } else { "." };
        Self { verb: verb.to_owned(), resource: format!("{resource}{dot}{group}"), ns: ns.to_owned() }
    }

    pub fn allows(&self, asked: &Self) -> bool {
        self.verb == asked.verb && self.resource == asked.resource && (self.ns.is_empty() || self.ns == asked.ns)
    }
}

/// What a request needs; nothing for what Kubernetes lets everybody do who is logged in (system:discovery and
/// system:basic-user).
pub fn needs(request: &str) -> Option<Right> {
    let (method, uri) = request.split_once(' ').unwrap();
    let segments: Vec<&str> = uri.split('?').next().unwrap().trim_matches('/').split('/').collect();
    let (group, rest) = match &segments[..] {
        ["version" | "api"] | ["api", _] | ["apis"] | ["apis", _] | ["apis", _, _] => return None,
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => panic!("{request} is not understood"),
    };
    if let (_, ["selfsubjectaccessreviews" | "selfsubjectreviews"]) = (group, rest) {
        return None;
    }
    let (ns, rest) = match rest {
        ["namespaces", ns, rest @ ..] if !rest.is_empty() => (*ns, rest),
        rest => ("", rest),
    };
    let (resource, is_one) = match rest {
        [plural] => ((*plural).to_owned(), false),
        [plural, _] => ((*plural).to_owned(), true),
        [plural, _, part] => (format!("{plural}/{part}"), true),
        _ => panic!("{request} is not understood"),
    };
    let verb = match (method, is_one) {
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        _ => panic!("{request} is not understood"),
    };
    Some(Right::new(verb, group, &resource, ns))
}

/// What printed roles allow.
pub fn rights(roles: &[Value]) -> BTreeSet<Right> {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for role in roles.iter().filter(|role| role["rules"].is_array()) {
        let ns = role["metadata"]["namespace"].as_str().unwrap_or_default();
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    rights.extend(texts(&rule["verbs"]).iter().map(|verb| Right::new(verb, &group, &resource, ns)));
                }
            }
        }
    }
    rights
}

fn granted(roles: &[Role], places: &Places) -> BTreeSet<Right> {
    let wanted = Wanted { places: places.clone(), roles: roles.to_vec(), reach: Reach::Cluster, subjects: Vec::new() };
    rights(&manifests(&wanted))
}

/// Diagnoses a cluster with all tables, and captures it: every request, and where the cluster and its operator are.
fn look(tree: Tree) -> (Places, Vec<String>) {
    let double = Double::serve(tree, Faults::none());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let places = runtime.block_on(async {
        let options = Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(A_MINUTE), ..Options::default() };
        let scope = Scope { timeout: A_MINUTE, overviews: overview::ALL.to_vec(), timeline: true, ..Scope::default() };
        let found = diagnose(&connect(&options).await.unwrap(), checks::ALL, &scope, &|_, _| {}).await;
        let plan = Plan::new(scope, false, A_MINUTE);
        capture(&connect(&options).await.unwrap(), &plan, &|_, _, _, _| {}).await.unwrap();
        let cluster = found[0].cluster.as_ref().unwrap();
        Places::new(&cluster.ns, &cluster.operator_ns, &ALSO.map(str::to_owned))
    });
    (places, double.requests())
}

/// The same cluster, where what an event tells of one kind of object is told of another.
fn told_of(name: &str, kind: &str, other: &str) -> Tree {
    const EVENTS: &str = "namespaces/rook-ceph/core/events.yaml";
    let mut tree = tree(name);
    let mut events = tree.file(EVENTS).unwrap().objects().unwrap().to_vec();
    for about in events.iter_mut().map(|event| &mut event["involvedObject"]).filter(|about| about["kind"] == kind) {
        about["kind"] = other.into();
    }
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": events});
    tree.write(EVENTS, list.to_string().into_bytes());
    tree
}

/// The part of the table that a right belongs to, whatever the namespaces of a cluster are called. None for those
/// that somebody adds.
fn part(right: &Right, places: &Places) -> Option<(String, String, String)> {
    let place = match right.ns.as_str() {
        "" => "everywhere",
        ns if places.own().contains(&ns) => "own",
        ns if ALSO.contains(&ns) => return None,
        ns => ns,
    };
    Some((right.verb.clone(), right.resource.clone(), place.to_owned()))
}

/// Sends requests through the roles: what they refuse, and which of their rules nobody used.
struct Passed {
    refused: BTreeSet<Right>,
    used: BTreeSet<(String, String, String)>,
    unused: BTreeSet<(String, String, String)>,
}

impl Passed {
    fn new() -> Self {
        Self { refused: BTreeSet::new(), used: BTreeSet::new(), unused: BTreeSet::new() }
    }

    fn pass(&mut self, requests: &[String], roles: &[Role], places: &Places) {
        let granted = granted(roles, places);
        let asked: BTreeSet<Right> = requests.iter().filter_map(|request| needs(request)).collect();
        self.refused.extend(asked.iter().filter(|asked| !granted.iter().any(|right| right.allows(asked))).cloned());
        for right in &granted {
            let is_used = asked.iter().any(|asked| right.allows(asked));
            if let Some(part) = part(right, places) {
                if is_used {
                    self.used.insert(part)
                } else {
                    self.unused.insert(part)
                };
            }
        }
    }

    /// The rules that are of no use for anything.
    fn idle(&self) -> Vec<&(String, String, String)> {
        self.unused.difference(&self.used).collect()
    }
}

#[test]
fn the_roles_to_look_allow_what_is_asked_and_nothing_else() {
    let mut work: Vec<Box<dyn Fn() -> Tree + Sync>> = Vec::new();
    for name in examples::ALL.iter().map(|example| example.name).chain(SCENARIOS) {
        work.push(Box::new(move || tree(name)));
    }
    work.push(Box::new(|| told_of("NODE013-quota", "ReplicaSet", "Job")));
    work.push(Box::new(|| told_of("NODE013-quota", "ReplicaSet", "DaemonSet")));
    work.push(Box::new(|| told_of("OPR008-filesystem", "CephFilesystem", "CephObjectStore")));
    let passed = Mutex::new(Passed::new());
    let wrong = each(&work, |tree| {
        let (places, requests) = look(tree());
        let mut passed = passed.lock().unwrap();
        passed.pass(&requests, &[Role::Read, Role::Exec], &places);
        // What the table of reads names is needed, whether one of these clusters makes anyone read it or not.
        let rows = blind::needs_of_rows(&places, Reach::Cluster);
        let rows = rows.iter().map(|row| {
            let slash = if row.part.is_empty() { "" } else { "/" };
            Right::new(row.verb, &row.group, &format!("{}{slash}{}", row.plural, row.part), &row.ns)
        });
        passed.used.extend(rows.filter_map(|row| part(&row, &places)));
        None
    });
    assert_eq!(wrong, [] as [&str; 0]);
    let passed = passed.into_inner().unwrap();
    assert_eq!(passed.refused, BTreeSet::new(), "refused");
    assert_eq!(passed.idle(), [] as [&(String, String, String); 0], "granted, and of no use");
}

/// The webhook of a scenario as one that changes objects.
fn mutating_webhook() -> Tree {
    const FOLDER: &str = "cluster-scoped-resources/admissionregistration.k8s.io";
    let mut tree = tree("ACC006-webhook-dead");
    let path = format!("{FOLDER}/validatingwebhookconfigurations.yaml");
    let text = String::from_utf8(tree.file(&path).unwrap().bytes().unwrap().into_owned()).unwrap();
    tree = tree.overlay(&Tree::default(), &[path]).unwrap();
    let text = text.replace("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration");
    tree.write(&format!("{FOLDER}/mutatingwebhookconfigurations.yaml"), text.into_bytes());
    tree
}

/// Applies a fix and takes it back, for what is no case of its own.
fn fixed(bed: &Bed, fix: &str) -> Vec<String> {
    let ran = bed.run(&format!("fix {fix} --yes -o json"));
    let id = ran.json()["id"].as_str().unwrap_or_else(|| panic!("{fix}: {ran:?}")).to_owned();
    let undone = bed.run(&format!("fix undo {id} --yes"));
    assert_eq!(undone.code, Some(0), "{fix}: {undone:?}");
    bed.double.requests()
}

/// Has the server check a plan.
fn tried(bed: &Bed, fix: &str) -> Vec<String> {
    let ran = bed.run(&format!("fix {fix} --dry-run=server"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    bed.double.requests()
}

/// Agents of Kube-OVN that a disruption budget covers: they are evicted.
fn covered_agents() -> Tree {
    let mut tree = tree("story5-kubeovn-after-reboot");
    let budget = serde_json::json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "agents", "namespace": "kube-system", "uid": "1", "resourceVersion": "1"},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "ovs"}}},
        "status": {"disruptionsAllowed": 3, "currentHealthy": 3, "desiredHealthy": 0, "expectedPods": 3}});
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [budget]});
    tree.write("namespaces/kube-system/policy/poddisruptionbudgets.yaml", list.to_string().into_bytes());
    tree
}

/// A fix whose holder died: the next one takes over its Lease.
fn finished_by_another(fix: &str, on: &str) -> Vec<String> {
    let bed = Bed::of(on);
    assert!(bed.killed_after(1, &format!("fix {fix} --yes")));
    let id = bed.unfinished().unwrap();
    assert_eq!(bed.run(&format!("fix finish {id} --yes")).code, Some(0));
    bed.double.requests()
}

#[test]
fn the_roles_to_fix_allow_what_fixes_do_and_nothing_else() {
    let mut requests = fixes::requests();
    requests.extend(fixed(&fixes::net::seen_before(11), "NET015"));
    let webhook = Bed::serve(mutating_webhook());
    fixes::opr::writes_are_let_through(&webhook.double);
    requests.extend(fixed(&webhook, "ACC006"));
    requests.extend(tried(&Bed::serve(covered_agents()), "OVN007"));
    requests.extend(finished_by_another("CEPH002", "story4-clock-and-pool-app"));
    let places = Places::new("rook-ceph", "rook-ceph", &[]);
    let mut passed = Passed::new();
    passed.pass(&requests, &[Role::Read, Role::Exec, Role::Fix], &places);
    assert_eq!(passed.refused, BTreeSet::new(), "refused");
    let of_fix = granted(&[Role::Fix], &places);
    let of_fix: BTreeSet<_> = of_fix.iter().filter_map(|right| part(right, &places)).collect();
    let idle: Vec<_> = passed.idle().into_iter().filter(|part| of_fix.contains(part)).collect();
    assert_eq!(idle, [] as [&(String, String, String); 0], "granted, and of no use");
}

fn printed(args: &str) -> Vec<Value> {
    let args: Vec<&str> = ["rbac", "-o", "json"].into_iter().chain(args.split_whitespace()).collect();
    let output = cli::run(&args);
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&"List".into(), &"v1".into()));
    list["items"].as_array().unwrap().clone()
}

#[test]
fn nobody_gets_secrets_or_everything_and_who_reads_writes_nothing() {
    for args in ["", "--exec", "--fix", "--namespace-only --fix", "-n a --operator-namespace b --also c --fix"] {
        for manifest in printed(args) {
            let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
            for Right { verb, resource, ns } in rights(std::slice::from_ref(&manifest)) {
                assert!(!resource.contains("secret") && !resource.contains('*') && verb != "*", "{name}: {resource}");
                match name.as_str() {
                    "rookdoctor-read" => {
                        assert!(["get", "list"].contains(&verb.as_str()), "{verb} {resource}");
                        assert_ne!(resource, "pods/exec");
                    }
                    "rookdoctor-exec" => assert!(resource == "pods/exec" && !ns.is_empty(), "{verb} {resource}"),
                    "rookdoctor-fix" => assert_ne!(resource, "pods/exec"),
                    other => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn nothing_cluster_wide_is_printed_for_namespaces_only() {
    let args = "--namespace-only --fix -n a --operator-namespace b --subject user:x";
    for manifest in printed(args) {
        let (kind, ns) = (manifest["kind"].as_str().unwrap(), manifest["metadata"]["namespace"].as_str());
        assert!(["Role", "RoleBinding"].contains(&kind) && ["a", "b"].contains(&ns.unwrap()), "{manifest}");
    }
    let text = String::from_utf8(cli::run(&["rbac", "--namespace-only", "-n", "a"]).stdout).unwrap();
    let text = text.replace("\n#  ", "");
    assert!(text.contains("Always diagnose with -n a.") && text.contains("NODE001"), "{text}");
}

#[test]
fn what_is_printed_for_people_is_the_same_and_is_what_kubernetes_takes() {
    let subjects = "--subject user:ann --subject group:ops --subject serviceaccount:mon:doctor";
    let args = format!("--fix -n storage --operator-namespace rook-system --also openshift-multus {subjects}");
    let items = printed(&args);
    let args: Vec<&str> = ["rbac"].into_iter().chain(args.split_whitespace()).collect();
    let text = String::from_utf8(cli::run(&args).stdout).unwrap();
    let comments: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(comments.len() > 3 && comments.iter().all(|line| line.len() <= 100), "{comments:?}");
    let documents: Vec<Value> = text.split("---\n").skip(1).map(|one| serde_saphyr::from_str(one).unwrap()).collect();
    assert_eq!(documents, items);
    for item in items {
        let again = match item["kind"].as_str().unwrap() {
            "ClusterRole" => serde_json::to_value(serde_json::from_value::<ClusterRole>(item.clone()).unwrap()),
            "Role" => serde_json::to_value(serde_json::from_value::<NamespacedRole>(item.clone()).unwrap()),
            "RoleBinding" => serde_json::to_value(serde_json::from_value::<RoleBinding>(item.clone()).unwrap()),
            "ClusterRoleBinding" => {
                serde_json::to_value(serde_json::from_value::<ClusterRoleBinding>(item.clone()).unwrap())
            }
            other => panic!("{other}"),
        };
        assert_eq!(again.unwrap(), item, "no field is lost on the way");
    }
}

/// The rule of a check's answer that reads like this.
fn rule<'a>(checked: &'a Value, text: &str) -> &'a Value {
    let mut rules = checked["rules"].as_array().unwrap().iter();
    rules.find(|rule| rule["rule"] == text).unwrap_or_else(|| panic!("{text} is not among {checked}"))
}

fn has(list: &Value, code: &str) -> bool {
    list.as_array().unwrap().iter().any(|it| it == code)
}

#[test]
fn who_may_do_everything_lacks_nothing() {
    let bed = Bed::of("healthy-classic-podnet");
    let ran = bed.run("rbac --check --fix");
    assert!(ran.code == Some(0) && ran.says("double has all"), "{ran:?}");
    assert_eq!(bed.double.writes(), [] as [&str; 0]);
    let checked = bed.run("rbac --check -o json").json();
    assert_eq!((&checked["exitCode"], &checked["user"]), (&0.into(), &"double".into()));
    let rules = checked["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["allowed"] == true && rule["role"] != "fix"));
    assert!(rules.iter().all(|rule| rule["group"] != "kubeovn.io"), "nobody lacks what is not installed");
}

#[test]
fn what_is_missing_is_told_with_what_it_blinds() {
    let bed = Bed::of("healthy-multus-kubeovn");
    bed.double.deny("create", "pods/exec");
    bed.double.deny("list", "nodes");
    bed.double.deny("patch", "deployments");
    let ran = bed.run("rbac --check");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.says("double lacks 2 of") && ran.says("create pods/exec in rook-ceph: blinds"), "{ran:?}");
    assert!(ran.says("kubectl rookdoctor rbac --exec -n rook-ceph --subject user:NAME"), "{ran:?}");
    let checked = bed.run("rbac --check -o json").json();
    assert_eq!(checked["exitCode"], 3);
    let (exec, nodes) = (rule(&checked, "create pods/exec in rook-ceph"), rule(&checked, "list nodes"));
    assert_eq!((&exec["allowed"], &exec["role"]), (&false.into(), &"exec".into()));
    assert!(has(&exec["blinds"], "CEPH002") && !has(&exec["blinds"], "NODE001"), "{exec}");
    assert!(has(&nodes["blinds"], "NODE001") && !has(&nodes["blinds"], "CEPH002"), "{nodes}");
    assert_eq!(rule(&checked, "list events")["allowed"], true);
    let fix = bed.run("rbac --check --fix -o json").json();
    assert_eq!(rule(&fix, "patch deployments.apps in rook-ceph")["allowed"], false);
}

#[test]
fn who_may_read_in_the_namespace_that_matters_is_not_blind_there() {
    let refused = [Fault::at("/api/v1/pods", Act::Refuse(403))];
    let double = Double::serve(tree("healthy-classic-podnet"), Faults::some(refused));
    let checked = Bed::with(double).run("rbac --check -o json").json();
    let pods = rule(&checked, "list pods");
    assert_eq!(pods["allowed"], false);
    assert!(!has(&pods["blinds"], "MON002") && !has(&pods["blinds"], "OSD001"), "{pods}");
    let bed = Bed::of("healthy-classic-podnet");
    bed.double.deny("list", "pods");
    let checked = bed.run("rbac --check -o json").json();
    assert!(has(&rule(&checked, "list pods")["blinds"], "MON002"));
}

#[test]
fn what_cannot_be_asked_is_not_there() {
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let double = Double::serve(tree("healthy-classic-podnet"), Faults::some([Fault::at(path, Act::Refuse(404))]));
    let bed = Bed::with(double);
    let ran = bed.run("rbac --check");
    assert!(ran.code == Some(3) && ran.says("could not be asked"), "{ran:?}");
    let checked = bed.run("rbac --check -o json").json();
    assert!(checked["rules"].as_array().unwrap().iter().all(|rule| rule["allowed"].is_null()));
    assert_eq!(bed.run("rbac --check --server http://127.0.0.1:1 --timeout 5s").code, Some(3));
}
