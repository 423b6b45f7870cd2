//! Which resources are served, and what a path leads to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Asked, Server};
use crate::facts::bundle::Bundle;
use crate::facts::{Answer, Fact, Kind, Source, kinds};

/// A kind of object that has paths.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    /// The columns that a CRD prints; none of other kinds.
    pub columns: Vec<Column>,
    /// Whether a CRD defines it.
    pub is_custom: bool,
    /// Only asked and never kept, such as what a user may do.
    pub is_review: bool,
    /// Set if the bundle reads it.
    pub known: Option<Kind>,
}

/// A column that a CRD prints.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// `string`, `integer`, `number`, `boolean`, `date`
    pub kind: String,
    /// A JSON path without `$`.
    pub path: String,
    pub format: String,
    pub description: String,
    /// Above 0 for what only `-o wide` shows.
    pub priority: i64,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub struct Target<'s> {
    pub resource: &'s Resource,
    pub ns: Option<String>,
    /// Empty for a list.
    pub name: String,
    /// `log`, `exec`, `eviction`, or nothing.
    pub part: &'static str,
    /// What is to be done with it; empty if nobody can do that.
    pub verb: &'static str,
}

/// Group, version, plural, kind, whether it has a namespace, short names.
type Row<'t> = (&'t str, &'t str, &'t str, &'t str, bool, &'t [&'t str]);

/// What every Kubernetes serves, whether it was recorded or not.
#[rustfmt::skip]
const BUILTIN: [Row<'static>; 42] = [
    ("", "v1", "configmaps", "ConfigMap", true, &["cm"]),
    ("", "v1", "endpoints", "Endpoints", true, &["ep"]),
    ("", "v1", "events", "Event", true, &["ev"]),
    ("", "v1", "limitranges", "LimitRange", true, &["limits"]),
    ("", "v1", "namespaces", "Namespace", false, &["ns"]),
    ("", "v1", "nodes", "Node", false, &["no"]),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true, &["pvc"]),
    ("", "v1", "persistentvolumes", "PersistentVolume", false, &["pv"]),
    ("", "v1", "pods", "Pod", true, &["po"]),
    ("", "v1", "replicationcontrollers", "ReplicationController", true, &["rc"]),
    ("", "v1", "resourcequotas", "ResourceQuota", true, &["quota"]),
    ("", "v1", "secrets", "Secret", true, &[]),
    ("", "v1", "serviceaccounts", "ServiceAccount", true, &["sa"]),
    ("", "v1", "services", "Service", true, &["svc"]),
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false, &[]),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false, &[]),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false, &["crd", "crds"]),
    ("apiregistration.k8s.io", "v1", "apiservices", "APIService", false, &[]),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", true, &[]),
    ("apps", "v1", "daemonsets", "DaemonSet", true, &["ds"]),
    ("apps", "v1", "deployments", "Deployment", true, &["deploy"]),
    ("apps", "v1", "replicasets", "ReplicaSet", true, &["rs"]),
    ("apps", "v1", "statefulsets", "StatefulSet", true, &["sts"]),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true, &["hpa"]),
    ("batch", "v1", "cronjobs", "CronJob", true, &["cj"]),
    ("batch", "v1", "jobs", "Job", true, &[]),
    ("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", false, &["csr"]),
    ("coordination.k8s.io", "v1", "leases", "Lease", true, &[]),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true, &[]),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", true, &["ing"]),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true, &["netpol"]),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true, &["pdb"]),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false, &[]),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false, &[]),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true, &[]),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", true, &[]),
    ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false, &["pc"]),
    ("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false, &[]),
    ("storage.k8s.io", "v1", "csinodes", "CSINode", false, &[]),
    ("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", true, &[]),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", false, &["sc"]),
    ("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", false, &[]),
];
/// What is only asked and never kept: group, plural and kind.
const REVIEWS: [(&str, &str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
];
/// What `kubectl get all` means.
const IN_ALL: [&str; 10] = [
    "cronjobs",
    "daemonsets",
    "deployments",
    "horizontalpodautoscalers",
    "jobs",
    "pods",
    "replicasets",
    "replicationcontrollers",
    "services",
    "statefulsets",
];

/// What every server serves, what the bundle knows of, what its CRDs define, and whatever else lies in it.
pub(super) async fn served(bundle: &Bundle) -> Vec<Resource> {
    let tree = bundle.tree();
    let names = match bundle.fetch(&Fact::Discovery).await.map(|reading| reading.answer) {
        Ok(Answer::Kinds(names)) => names,
        _ => Default::default(),
    };
    let mut resources: Vec<Resource> = BUILTIN.map(Resource::builtin).into();
    let is_served = |kind: &&Kind| names.contains(&format!("{}/{}", kind.group, kind.plural));
    for kind in kinds::ALL.iter().filter(is_served) {
        match resources.iter_mut().find(|resource| resource.is(kind.group, kind.plural)) {
            Some(builtin) => builtin.known = Some(*kind),
            None => resources.push(Resource::known(*kind)),
        }
    }
    let mut has_crds = false;
    for (path, file) in tree.below(CRDS) {
        let Some(objects) = place(path).and_then(|_| file.objects().ok()) else { continue };
        for found in objects.iter().filter_map(Resource::defined) {
            has_crds = true;
            match resources.iter_mut().find(|old| old.is(&found.group, &found.plural)) {
                Some(old) => *old = Resource { known: old.known, ..found },
                None => resources.push(found),
            }
        }
    }
    // One object says what kind all in its place are.
    let mut others: BTreeMap<(&str, &str), Option<Resource>> = BTreeMap::new();
    for (path, file) in tree.below("") {
        let Some((ns, group, plural)) = place(path) else { continue };
        if resources.iter().any(|resource| resource.is(group, plural))
            || others.get(&(group, plural)).is_some_and(Option::is_some)
        {
            continue;
        }
        let objects = file.objects().unwrap_or_default();
        others.insert((group, plural), objects.first().and_then(|object| Resource::seen(ns, group, plural, object)));
    }
    // Where the CRDs are known, a kind without one is not served, whatever lies in the bundle.
    let others = others.into_values().flatten();
    resources.extend(others.filter(|other| !has_crds || !is_custom(&other.group)));
    resources.extend(REVIEWS.map(Resource::review));
    resources
}

const CRDS: &str = "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions";

/// Whether kinds of this group come from CRDs.
fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

impl Resource {
    fn builtin((group, version, plural, kind, namespaced, short_names): Row<'_>) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced,
            short_names: short_names.iter().map(|name| (*name).to_owned()).collect(),
            categories: IN_ALL.iter().filter(|name| **name == plural).map(|_| "all".to_owned()).collect(),
            ..Self::default()
        }
    }

    fn known(kind: Kind) -> Self {
        Self {
            is_custom: kind.is_custom(),
            known: Some(kind),
            ..Self::builtin((kind.group, kind.version, kind.plural, kind.kind, kind.namespaced, &[]))
        }
    }

    /// What a CRD defines. Of several versions the first that is served.
    fn defined(crd: &Value) -> Option<Self> {
        let spec = crd.get("spec")?;
        let version = spec["versions"].as_array()?.iter().find(|version| version["served"] != false)?;
        let texts = |value: &Value| {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        Some(Self {
            group: spec["group"].as_str()?.to_owned(),
            version: version["name"].as_str()?.to_owned(),
            plural: spec["names"]["plural"].as_str()?.to_owned(),
            kind: spec["names"]["kind"].as_str()?.to_owned(),
            namespaced: spec["scope"] == "Namespaced",
            short_names: texts(&spec["names"]["shortNames"]),
            categories: texts(&spec["names"]["categories"]),
            columns: columns.map(Column::new).collect(),
            is_custom: true,
            ..Self::default()
        })
    }

    /// What the place of an object says of its kind.
    fn seen(ns: Option<&str>, group: &str, plural: &str, object: &Value) -> Option<Self> {
        let version = object["apiVersion"].as_str()?.rsplit('/').next()?;
        let seen = Self::builtin((group, version, plural, object["kind"].as_str()?, ns.is_some(), &[]));
        Some(Self { is_custom: is_custom(group), ..seen })
    }

    fn review((group, plural, kind): (&str, &str, &str)) -> Self {
        Self { is_review: true, ..Self::builtin((group, "v1", plural, kind, false, &[])) }
    }

    /// Whether it is the one of this group and plural.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// `Pod`, or `CephCluster.ceph.rook.io`.
    pub fn kind_name(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `pods`, or `cephclusters.ceph.rook.io`.
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl Column {
    pub(super) fn new(column: &Value) -> Self {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            kind: text("type"),
            path: text("jsonPath"),
            format: text("format"),
            description: text("description"),
            priority: column["priority"].as_i64().unwrap_or_default(),
        }
    }
}

/// Namespace, group and plural that a file of the bundle belongs to.
pub(super) fn place(path: &str) -> Option<(Option<&str>, &str, &str)> {
    let path = path.strip_suffix(".yaml").or(path.strip_suffix(".json")).or(path.strip_suffix(".yml"))?;
    let segments: Vec<&str> = path.split('/').collect();
    let (ns, group, plural) = match segments[..] {
        ["namespaces", ns, file] if ns == file => (None, "core", "namespaces"),
        ["namespaces", _, "pods", ..] => return None,
        ["namespaces", ns, group, plural] | ["namespaces", ns, group, plural, _] => (Some(ns), group, plural),
        ["cluster-scoped-resources", group, plural] | ["cluster-scoped-resources", group, plural, _] => {
            (None, group, plural)
        }
        _ => return None,
    };
    Some((ns, if group == "core" { "" } else { group }, plural))
}

impl Server {
    /// The list, the object or the part of one that a path names.
    pub fn target(&self, asked: &Asked) -> Option<Target<'_>> {
        let segments: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return None,
        };
        let (ns, plural, name, part) = match *rest {
            ["namespaces", ns, plural] => (Some(ns), plural, "", ""),
            ["namespaces", ns, plural, name] => (Some(ns), plural, name, ""),
            ["namespaces", ns, "pods", name, "log"] => (Some(ns), "pods", name, "log"),
            ["namespaces", ns, "pods", name, "exec"] => (Some(ns), "pods", name, "exec"),
            ["namespaces", ns, "pods", name, "eviction"] => (Some(ns), "pods", name, "eviction"),
            [plural] => (None, plural, "", ""),
            [plural, name] => (None, plural, name, ""),
            _ => return None,
        };
        let resource =
            self.resources.iter().find(|resource| resource.is(group, plural) && resource.version == version)?;
        // Objects with a namespace are listed without one, but never got.
        if (ns.is_some() && !resource.namespaced) || (ns.is_none() && resource.namespaced && !name.is_empty()) {
            return None;
        }
        let verb = match (asked.method.as_str(), part, name) {
            (_, "exec", _) | ("POST", "eviction", _) | ("POST", "", "") => "create",
            ("POST", ..) | ("PUT" | "PATCH", _, "") => "",
            ("PUT", ..) => "update",
            ("PATCH", ..) => "patch",
            ("DELETE", _, "") => "deletecollection",
            ("DELETE", ..) => "delete",
            (_, _, "") if asked.is("watch") => "watch",
            (_, _, "") => "list",
            _ => "get",
        };
        Some(Target { resource, ns: ns.map(str::to_owned), name: name.to_owned(), part, verb })
    }
}
