//! What a cluster needs to diagnose itself on a schedule: a CronJob that runs `publish`, and the least that it may do.
//!
//! [`objects`] makes the objects, [`kustomize`] a folder of them. Names are fixed and namespaces are written out, so
//! that overlays can name what they patch.

pub mod kustomize;
mod pod;
mod policy;

use serde_json::{Value, json};

use crate::publish::push::Gateway;
use crate::publish::{NAME as REPORT, store};
use crate::rbac::manifests::{Subject, Wanted as WantedRoles, manifests as roles};
use crate::rbac::{Places, Reach, Role};

/// The ServiceAccount, the CronJob, the NetworkPolicy.
pub const NAME: &str = "rookdoctor";
const RBAC: &str = "rbac.authorization.k8s.io";

/// What to print.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub places: Places,
    /// The namespace that it runs in.
    pub into: String,
    pub create_namespace: bool,
    pub exec: bool,
    pub schedule: String,
    pub image: String,
    pub priority_class: Option<String>,
    pub timeout_seconds: u64,
    pub push: Option<Gateway>,
    pub textfile: Option<Textfile>,
    pub api_port: u16,
}

/// The folder from which a node exporter reads metrics, on the one node that the CronJob then runs on.
#[derive(Clone, Debug)]
pub struct Textfile {
    pub folder: String,
    pub node: String,
}

/// An object, and what one should know of it.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub about: Vec<String>,
    pub object: Value,
}

/// All objects, each after what it needs.
pub fn objects(wanted: &Wanted) -> Vec<Manifest> {
    let plain = |object| Manifest { about: Vec::new(), object };
    let mut all = Vec::new();
    all.extend(wanted.create_namespace.then(|| plain(namespace(wanted))));
    all.push(plain(account(wanted)));
    all.extend(roles(&read(wanted)).into_iter().map(plain));
    all.push(Manifest {
        about: vec![
            "Only this one ConfigMap may be written. It must be there before: the right to create cannot be limited \
             to a name, so it is not given."
                .into(),
        ],
        object: role(
            &wanted.into,
            "report",
            &json!([
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [REPORT], "verbs": ["get", "update"]}]),
        ),
    });
    all.push(plain(binding(wanted, &wanted.into, "report")));
    all.push(Manifest {
        about: vec!["Events at the CephCluster are made in its namespace.".into()],
        object: role(
            &wanted.places.cluster,
            "events",
            &json!([
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]),
        ),
    });
    all.push(plain(binding(wanted, &wanted.places.cluster, "events")));
    all.push(Manifest {
        about: vec!["Empty here, so that applying it again takes nothing away: the data is written by publish.".into()],
        object: store::empty(&wanted.into, REPORT),
    });
    all.push(policy::policy(wanted));
    all.push(pod::cron_job(wanted));
    all
}

fn read(wanted: &Wanted) -> WantedRoles {
    WantedRoles {
        places: wanted.places.clone(),
        roles: if wanted.exec { vec![Role::Read, Role::Exec] } else { vec![Role::Read] },
        reach: Reach::Cluster,
        subjects: vec![Subject::ServiceAccount { ns: wanted.into.clone(), name: NAME.into() }],
    }
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": "rookdoctor", "app.kubernetes.io/component": "publish"})
}

fn metadata(ns: &str, name: &str) -> Value {
    json!({"name": name, "namespace": ns, "labels": labels()})
}

fn namespace(wanted: &Wanted) -> Value {
    let mut labels = labels();
    // With a folder of the node, the pod meets no standard but the one that asks for nothing.
    let level = if wanted.textfile.is_some() { "privileged" } else { "restricted" };
    labels["pod-security.kubernetes.io/enforce"] = level.into();
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.into, "labels": labels}})
}

fn account(wanted: &Wanted) -> Value {
    // Only the pod that says so gets the token.
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(&wanted.into, NAME),
        "automountServiceAccountToken": false})
}

fn role(ns: &str, what: &str, rules: &Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata(ns, &format!("{NAME}-{what}")),
        "rules": rules})
}

fn binding(wanted: &Wanted, ns: &str, what: &str) -> Value {
    let name = format!("{NAME}-{what}");
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": metadata(ns, &name),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": wanted.into, "name": NAME}]})
}
