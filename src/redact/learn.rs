//! The names of a cluster: what is told of its owner, learnt from the objects and answers that hold it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::facts::archive::Tree;

/// Words that are the name of many a thing. As the name of one they tell nothing.
const COMMON: &str = " admin app apps application applications backend backup batch bastion ceph client cluster common \
    compute control-plane core csi customer data database databases default demo dev development device disk dmz edge \
    events external frontend gateway group head home host image infra ingress internal internet intranet io kubernetes \
    kubernetes-admin kyverno lab lan local localdomain localhost log logging logs main mail manager master metadata mgr \
    mon monitoring monitors multus name namespace network networking node nodes ns object observability openshift \
    operator operators osd pod pods policy pool pre-prod prod production project public qa rados registry rgw rook root \
    sandbox security server service services shared site spec stage staging state status storage store system team temp \
    tenant test testing tools true type uat unknown user users vault velero volume web worker workload workloads www \
    argocd argo-cd cert-manager external-secrets flux-system gatekeeper-system grafana harbor ingress-nginx istio-system \
    kasten-io keda linkerd local-path-storage longhorn-system metallb-system minio prometheus traefik vpn ";
/// Namespaces of programs that everybody may run.
const PROGRAMS: [&str; 14] = [
    "kube-",
    "openshift-",
    "rook-",
    "ceph-",
    "cattle-",
    "csi-",
    "calico-",
    "tigera-",
    "cilium-",
    "knative-",
    "tekton-",
    "istio-",
    "node-",
    "kubernetes-",
];
/// Domains that everybody uses, by their ends.
const DOMAINS: [&str; 14] = [
    "k8s.io",
    "kubernetes.io",
    "cluster.local",
    "quay.io",
    "docker.io",
    "ghcr.io",
    "gcr.io",
    "github.com",
    "rook.io",
    "ceph.com",
    "redhat.com",
    "openshift.io",
    "ec2.internal",
    "compute.internal",
];

static CLUSTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*clusterName: *([\w.-]+) *$").ok());
static BY_ID: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"/by-id/([\w.:-]+)").ok());

/// What is to be replaced, by sort. Sorted, so that those that stand in for them sort the same way.
#[derive(Debug, Default)]
pub struct Names {
    pub nodes: BTreeSet<String>,
    pub namespaces: BTreeSet<String>,
    pub users: BTreeSet<String>,
    pub clusters: BTreeSet<String>,
    pub domains: BTreeSet<String>,
    pub serials: BTreeSet<String>,
    /// Full names of hosts as CRUSH has them, with dashes for dots: they are no names of their own.
    in_crush: BTreeSet<String>,
}

impl Names {
    /// Learns from every object and answer of a tree.
    pub fn of(tree: &Tree) -> Self {
        let mut names = Self::default();
        let mut fields = BTreeSet::new();
        for (path, file) in tree.below("") {
            names.of_path(path);
            if path.ends_with(".log") || path.ends_with(".rc") {
                continue;
            }
            if path.starts_with("namespaces/") || path.starts_with("cluster-scoped-resources/") {
                let Ok(objects) = file.objects() else { continue };
                for object in objects.iter() {
                    names.of_object(object);
                    names.of_fields(object, false, &mut fields);
                }
            } else if let Ok(bytes) = file.bytes() {
                if let Ok(answer) = serde_json::from_slice::<Value>(&bytes) {
                    names.of_fields(&answer, true, &mut BTreeSet::new());
                }
                names.of_text(&String::from_utf8_lossy(&bytes));
            }
        }
        // A name that is also the name of a field cannot be replaced everywhere; it is a word, and tells little.
        let is_word = |name: &String| fields.contains(name);
        for set in [&mut names.namespaces, &mut names.users, &mut names.clusters] {
            set.retain(|name| tells(name) && !is_word(name));
        }
        for set in [&mut names.namespaces, &mut names.clusters] {
            set.retain(|name| !PROGRAMS.iter().any(|start| name.starts_with(start)));
        }
        names.nodes.retain(|name| tells(name) && !names.in_crush.contains(name));
        names
    }

    fn of_path(&mut self, path: &str) {
        let names: Vec<&str> = path.split('/').collect();
        let ns = match names[..] {
            ["namespaces", ns, _, ..] | ["ceph", "namespaces", ns, ..] | ["rookdoctor", "exec" | "ceph", ns, _, ..] => {
                ns
            }
            _ => return,
        };
        self.namespaces.insert(ns.to_owned());
    }

    /// What an object of this kind names.
    fn of_object(&mut self, object: &Value) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let list = |path: &str| object.pointer(path).and_then(Value::as_array).into_iter().flatten();
        match text("/kind") {
            "Node" => {
                self.node(text("/metadata/name"));
                self.node(text("/metadata/labels/kubernetes.io~1hostname"));
                for address in list("/status/addresses").filter_map(|address| address["address"].as_str()) {
                    self.node(address);
                }
            }
            "Namespace" => {
                self.namespaces.insert(text("/metadata/name").to_owned());
            }
            "Lease" if text("/metadata/namespace") == "kube-node-lease" => self.node(text("/metadata/name")),
            "Ingress" => {
                let hosts = list("/spec/rules").filter_map(|rule| rule["host"].as_str());
                hosts.for_each(|host| self.domain(host));
            }
            "Route" => self.domain(text("/spec/host")),
            "RoleBinding" | "ClusterRoleBinding" => {
                let users = list("/subjects").filter(|subject| subject["kind"] == "User");
                users.filter_map(|user| user["name"].as_str()).for_each(|user| self.user(user));
            }
            "ConfigMap" => {
                let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
                data.filter_map(|(_, value)| value.as_str()).for_each(|value| self.of_text(value));
            }
            _ => {}
        }
    }

    /// What fields of this name hold, in any object or answer of Ceph.
    fn of_fields(&mut self, value: &Value, ceph: bool, names: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.of_fields(item, ceph, names)),
            Value::Object(fields) => {
                if fields.get("type").is_some_and(|kind| kind == "host") && fields.contains_key("children") {
                    self.node(fields.get("name").and_then(Value::as_str).unwrap_or_default());
                }
                for (name, value) in fields {
                    names.insert(name.clone());
                    if let Some(text) = value.as_str() {
                        self.of_field(name, text, ceph);
                    }
                    self.of_fields(value, ceph, names);
                }
            }
            _ => {}
        }
    }

    fn of_field(&mut self, name: &str, text: &str, ceph: bool) {
        match name {
            "nodeName" | "Hostname" | "kubernetes.io/hostname" => self.node(text),
            // Of a pod it is the name of the pod.
            "hostname" | "host" if ceph => self.node(text),
            "namespace" => {
                self.namespaces.insert(text.to_owned());
            }
            "username" | "openshift.io/requester" | "requester" => self.user(text),
            "serial" | "wwn" | "wwnVendorExtension" => self.serial(text),
            "devid" => self.serial(text.rsplit('_').next().unwrap_or_default()),
            "device_ids" => text.split(',').for_each(|id| self.serial(id.rsplit('_').next().unwrap_or_default())),
            "clusterName" => {
                self.clusters.insert(text.to_owned());
            }
            _ if text.contains("/by-id/") => self.of_text(text),
            _ => {}
        }
    }

    fn of_text(&mut self, text: &str) {
        let found = |pattern: &LazyLock<Option<Regex>>| -> Vec<String> {
            let all = pattern.as_ref().into_iter().flat_map(|pattern| pattern.captures_iter(text));
            all.filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect()
        };
        if text.contains("clusterName:") {
            self.clusters.extend(found(&CLUSTER));
        }
        if text.contains("/by-id/") {
            let ends = |id: &String| id.rsplit(['_', '-']).next().unwrap_or_default().to_owned();
            found(&BY_ID).iter().map(ends).for_each(|end| self.serial(&end));
        }
    }

    /// A host: its short name, and the domain apart.
    fn node(&mut self, name: &str) {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        // Daemons of Rook in the pod network have the name of their pod for a host name.
        if !is_name || name.parse::<std::net::IpAddr>().is_ok() || name.starts_with("rook-ceph-") {
            return;
        }
        match name.split_once('.') {
            Some((short, _)) => {
                self.nodes.insert(short.to_owned());
                self.in_crush.insert(name.replace('.', "-"));
                self.domain(name);
            }
            None => {
                self.nodes.insert(name.to_owned());
            }
        }
    }

    /// The last two names of a host in a domain that not everybody uses; three in `co.uk`.
    fn domain(&mut self, host: &str) {
        let names: Vec<&str> = host.trim_start_matches("*.").split('.').collect();
        let short = names.len() >= 3 && names[names.len() - 2].len() <= 3 && names[names.len() - 1].len() == 2;
        let base = names[names.len().saturating_sub(if short { 3 } else { 2 })..].join(".");
        let is_common = DOMAINS.iter().any(|end| base.ends_with(end)) || base.ends_with(".svc");
        if names.len() >= 2 && !is_common && base.parse::<std::net::IpAddr>().is_err() {
            self.domains.insert(base);
        }
    }

    fn user(&mut self, name: &str) {
        let is_program = name.contains(':') || name.contains('@');
        if !is_program {
            self.users.insert(name.to_owned());
        }
    }

    fn serial(&mut self, text: &str) {
        let is_one = text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_one && text.bytes().any(|byte| byte.is_ascii_digit()) {
            self.serials.insert(text.to_owned());
        }
    }
}

/// Whether a name says more than a word of the trade does.
fn tells(name: &str) -> bool {
    let is_version = name.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let has_letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_common = COMMON.split_whitespace().any(|word| word == name);
    name.len() >= 2
        && has_letter
        && !is_version
        && !is_common
        && (name.len() >= 3 || name.ends_with(|c: char| c.is_ascii_digit()))
}
