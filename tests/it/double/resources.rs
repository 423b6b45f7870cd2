//! Which resources are served, and how discovery tells of them.

use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Answer as Known, Fact, Kind, Source, kinds};
use serde_json::{Value, json};

use super::{Answer, Asked, Server};

/// A kind of object that has paths.
pub(super) struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    short_names: Vec<String>,
    /// The columns of a CRD: name, type and JSON path.
    pub columns: Vec<[String; 3]>,
    /// Set if the bundle reads it.
    pub known: Option<Kind>,
}

/// What a path leads to.
pub(super) struct Target<'s> {
    pub resource: &'s Resource,
    pub ns: Option<String>,
    /// Empty for a list.
    pub name: String,
    /// `log`, `exec`, `eviction`, or nothing.
    pub part: &'static str,
    /// What is to be done with it; empty if nobody can do that.
    pub verb: &'static str,
}

const SHORT_NAMES: [(&str, &str); 13] = [
    ("pods", "po"),
    ("nodes", "no"),
    ("events", "ev"),
    ("configmaps", "cm"),
    ("services", "svc"),
    ("namespaces", "ns"),
    ("persistentvolumes", "pv"),
    ("persistentvolumeclaims", "pvc"),
    ("deployments", "deploy"),
    ("daemonsets", "ds"),
    ("replicasets", "rs"),
    ("statefulsets", "sts"),
    ("storageclasses", "sc"),
];
/// What is only asked and never kept: group, plural and kind.
const REVIEWS: [(&str, &str, &str); 2] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
];
const IN_ALL: [&str; 7] = ["pods", "services", "deployments", "daemonsets", "replicasets", "statefulsets", "jobs"];

/// What the bundle knows of, what its CRDs define, and whatever else lies in it.
pub(super) async fn served(tree: &Tree, bundle: &Bundle) -> Vec<Resource> {
    let Ok(Known::Kinds(names)) = bundle.fetch(&Fact::Discovery).await.map(|reading| reading.answer) else {
        panic!("a bundle knows its kinds")
    };
    let is_served = |group: &str, plural: &str| names.contains(&format!("{group}/{plural}"));
    let known = kinds::ALL.iter().filter(|kind| is_served(kind.group, kind.plural));
    let mut resources: Vec<Resource> = known.map(|&kind| Resource::known(kind)).collect();
    for (path, file) in tree.below("") {
        let crd = path.starts_with("cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions");
        for object in &file.objects().ok().filter(|_| path.ends_with(".yaml")).unwrap_or_default() {
            let found = if crd { Resource::defined(object) } else { Resource::seen(path, object) };
            let Some(found) = found else { continue };
            match resources.iter_mut().find(|old| old.group == found.group && old.plural == found.plural) {
                Some(old) if crd => *old = Resource { known: old.known, ..found },
                Some(_) => {}
                None => resources.push(found),
            }
        }
    }
    resources.extend(REVIEWS.map(Resource::review));
    resources
}

impl Resource {
    fn known(kind: Kind) -> Self {
        Self {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            plural: kind.plural.to_owned(),
            kind: kind.kind.to_owned(),
            namespaced: kind.namespaced,
            short_names: short_names(kind.plural),
            columns: Vec::new(),
            known: Some(kind),
        }
    }

    /// What a CRD defines. Of several versions the first that is served.
    fn defined(crd: &Value) -> Option<Self> {
        let spec = crd.get("spec")?;
        let version = spec["versions"].as_array()?.iter().find(|version| version["served"] != false)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        Some(Self {
            group: spec["group"].as_str()?.to_owned(),
            version: version["name"].as_str()?.to_owned(),
            plural: spec["names"]["plural"].as_str()?.to_owned(),
            kind: spec["names"]["kind"].as_str()?.to_owned(),
            namespaced: spec["scope"] == "Namespaced",
            short_names: spec["names"]["shortNames"].as_array().into_iter().flatten().map(text).collect(),
            columns: columns.map(|column| ["name", "type", "jsonPath"].map(|key| text(&column[key]))).collect(),
            known: None,
        })
    }

    /// What the place of an object says of its kind.
    fn seen(path: &str, object: &Value) -> Option<Self> {
        let (ns, group, plural) = place(path)?;
        // Without its CRD no such kind is served, whatever lies in the bundle.
        if group.contains('.') && !group.ends_with(".k8s.io") {
            return None;
        }
        let api_version = object["apiVersion"].as_str()?;
        Some(Self {
            group: group.to_owned(),
            version: api_version.rsplit('/').next()?.to_owned(),
            plural: plural.to_owned(),
            kind: object["kind"].as_str()?.to_owned(),
            namespaced: ns.is_some(),
            short_names: short_names(plural),
            columns: Vec::new(),
            known: None,
        })
    }

    fn review((group, plural, kind): (&str, &str, &str)) -> Self {
        Self {
            group: group.to_owned(),
            version: "v1".to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced: false,
            short_names: Vec::new(),
            columns: Vec::new(),
            known: None,
        }
    }

    fn is_review(&self) -> bool {
        REVIEWS.iter().any(|(group, plural, _)| *group == self.group && *plural == self.plural)
    }

    /// Whether the server itself knows the kind, without a CRD.
    pub fn is_builtin(&self) -> bool {
        match self.known {
            Some(kind) => !kind.is_custom(),
            None => !self.group.contains('.') || self.group.ends_with(".k8s.io"),
        }
    }

    /// `Pod`, or `CephCluster.ceph.rook.io`.
    pub fn kind_name(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    pub fn verbs(&self) -> &'static [&'static str] {
        if self.is_review() { &["create"] } else { &["create", "delete", "get", "list", "patch", "update", "watch"] }
    }

    /// `pods`, or `cephclusters.ceph.rook.io`.
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What is served below an object: its name, kind and verbs.
    fn parts(&self) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
        if self.group.is_empty() && self.plural == "pods" {
            &[
                ("eviction", "Eviction", &["create"]),
                ("exec", "PodExecOptions", &["create", "get"]),
                ("log", "Pod", &["get"]),
            ]
        } else {
            &[]
        }
    }

    fn legacy(&self) -> Vec<Value> {
        let whole = json!({"name": self.plural, "singularName": self.kind.to_lowercase(),
            "namespaced": self.namespaced, "kind": self.kind, "verbs": self.verbs()});
        let parts = self.parts().iter().map(|(part, kind, verbs)| {
            let mut part = json!({"name": format!("{}/{part}", self.plural), "singularName": "", "namespaced": true,
                "kind": kind, "verbs": verbs});
            if *kind == "Eviction" {
                part["group"] = "policy".into();
                part["version"] = "v1".into();
            }
            part
        });
        std::iter::once(self.with_names(whole)).chain(parts).collect()
    }

    fn aggregated(&self) -> Value {
        // Only kinds of a CRD say again which group they are of.
        let custom = self.known.map_or(!self.columns.is_empty(), |kind| kind.is_custom());
        let (group, version) = if custom { (self.group.as_str(), self.version.as_str()) } else { ("", "") };
        let kind = |kind: &str| json!({"group": group, "version": version, "kind": kind});
        let parts = self.parts().iter();
        let parts: Vec<Value> = parts
            .map(|(part, of, verbs)| json!({"subresource": part, "responseKind": kind(of), "verbs": verbs}))
            .collect();
        let mut whole = json!({"resource": self.plural, "responseKind": kind(&self.kind),
            "singularResource": self.kind.to_lowercase(), "verbs": self.verbs(),
            "scope": if self.namespaced { "Namespaced" } else { "Cluster" }});
        if !parts.is_empty() {
            whole["subresources"] = parts.into();
        }
        self.with_names(whole)
    }

    /// The other names of a kind; a server leaves out what is empty.
    fn with_names(&self, mut resource: Value) -> Value {
        if !self.short_names.is_empty() {
            resource["shortNames"] = json!(self.short_names);
        }
        if IN_ALL.contains(&self.plural.as_str()) {
            resource["categories"] = json!(["all"]);
        }
        resource
    }
}

fn short_names(plural: &str) -> Vec<String> {
    SHORT_NAMES.iter().filter(|(of, _)| *of == plural).map(|(_, short)| (*short).to_owned()).collect()
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
    pub(super) fn target(&self, asked: &Asked) -> Option<Target<'_>> {
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
        let is_it =
            |resource: &&Resource| resource.group == group && resource.version == version && resource.plural == plural;
        let resource = self.resources.iter().find(is_it)?;
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
            (_, _, "") if asked.get("watch") == "true" || asked.get("watch") == "1" => "watch",
            (_, _, "") => "list",
            _ => "get",
        };
        Some(Target { resource, ns: ns.map(str::to_owned), name: name.to_owned(), part, verb })
    }

    /// The version and the lists of what is served, in one answer or in the older form.
    pub(super) fn discovery(&self, asked: &Asked) -> Answer {
        let segments: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        let aggregated = aggregated_version(&asked.accept);
        match segments[..] {
            ["version"] => {
                let version = self.state().bundle.server_version().unwrap_or_else(|| "v1.32.0".to_owned());
                Answer::json(&json!({"major": "1", "minor": "", "gitVersion": version, "platform": "linux/amd64"}))
            }
            ["api"] | ["apis"] if aggregated.is_some() => {
                self.aggregated(segments[0] == "api", aggregated.unwrap_or_default())
            }
            ["api"] => Answer::json(&json!({"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]})),
            ["apis"] => {
                let groups: Vec<Value> = self.groups().into_iter().map(|group| self.legacy_group(group)).collect();
                Answer::json(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["api", version] => self.legacy_resources("", version),
            ["apis", group, version] => self.legacy_resources(group, version),
            _ => Answer::no_path(),
        }
    }

    fn aggregated(&self, core: bool, version: &str) -> Answer {
        let groups = if core { vec![""] } else { self.groups() };
        let items: Vec<Value> = groups
            .into_iter()
            .map(|group| {
                let versions: Vec<Value> = self
                    .versions(group)
                    .into_iter()
                    .map(|version| {
                        let of = self.resources.iter().filter(|r| r.group == group && r.version == version);
                        json!({"version": version, "resources": of.map(Resource::aggregated).collect::<Vec<_>>(),
                    "freshness": "Current"})
                    })
                    .collect();
                let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {}, "items": items});
        let content_type = match version {
            "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        };
        Answer { content_type, ..Answer::json(&body) }
    }

    /// The groups beside the core.
    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.resources.iter().map(|resource| resource.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| !group.is_empty());
        groups
    }

    fn versions(&self, group: &str) -> Vec<&str> {
        let of = self.resources.iter().filter(|resource| resource.group == group);
        let mut versions: Vec<&str> = of.map(|resource| resource.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn legacy_group(&self, group: &str) -> Value {
        let version = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let versions: Vec<Value> = self.versions(group).iter().map(version).collect();
        json!({"name": group, "preferredVersion": versions[0], "versions": versions})
    }

    fn legacy_resources(&self, group: &str, version: &str) -> Answer {
        let of = self.resources.iter().filter(|resource| resource.group == group && resource.version == version);
        let resources: Vec<Value> = of.flat_map(Resource::legacy).collect();
        if resources.is_empty() {
            return Answer::no_path();
        }
        let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Answer::json(
            &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources}),
        )
    }
}

/// The newer form of discovery that the client reads, if it does.
fn aggregated_version(accept: &str) -> Option<&'static str> {
    let of = |version: &str| {
        accept.split(',').any(|form| form.contains("APIGroupDiscoveryList") && form.contains(&format!("v={version};")))
    };
    ["v2", "v2beta1"].into_iter().find(|version| of(version))
}
