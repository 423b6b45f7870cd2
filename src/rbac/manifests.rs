//! The permissions as roles for `kubectl apply`, and their bindings.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Places, Reach, Role, permissions};
use crate::facts::live::Permission;

const API: &str = "rbac.authorization.k8s.io/v1";

/// What to print.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub places: Places,
    pub roles: Vec<Role>,
    pub reach: Reach,
    pub subjects: Vec<Subject>,
}

/// Who gets the roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    User(String),
    Group(String),
    ServiceAccount { ns: String, name: String },
}

impl FromStr for Subject {
    type Err = String;

    /// `user:ann`, `group:ops`, `serviceaccount:monitoring:rookdoctor`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of user:NAME, group:NAME and serviceaccount:NAMESPACE:NAME");
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
        match kind {
            "user" => Ok(Self::User(name.to_owned())),
            "group" => Ok(Self::Group(name.to_owned())),
            "serviceaccount" => {
                let (ns, name) = name.split_once(':').ok_or_else(wrong)?;
                let is_name = |text: &str| !text.is_empty() && !text.contains([':', '/']);
                if !is_name(ns) || !is_name(name) {
                    return Err(wrong());
                }
                Ok(Self::ServiceAccount { ns: ns.to_owned(), name: name.to_owned() })
            }
            _ => Err(wrong()),
        }
    }
}

impl Subject {
    fn manifest(&self) -> Value {
        const GROUP: &str = "rbac.authorization.k8s.io";
        match self {
            Self::User(name) => json!({"kind": "User", "apiGroup": GROUP, "name": name}),
            Self::Group(name) => json!({"kind": "Group", "apiGroup": GROUP, "name": name}),
            Self::ServiceAccount { ns, name } => json!({"kind": "ServiceAccount", "namespace": ns, "name": name}),
        }
    }
}

/// The roles and bindings, each role before what binds it.
pub fn manifests(wanted: &Wanted) -> Vec<Value> {
    let mut all = Vec::new();
    for &role in &wanted.roles {
        for (ns, permissions) in by_namespace(&permissions(role, &wanted.places, wanted.reach)) {
            all.push(manifest(role, &ns, &permissions));
            if !wanted.subjects.is_empty() {
                all.push(binding(role, &ns, &wanted.subjects));
            }
        }
    }
    all
}

fn by_namespace(permissions: &BTreeSet<Permission>) -> BTreeMap<String, Vec<&Permission>> {
    let mut roles: BTreeMap<String, Vec<&Permission>> = BTreeMap::new();
    for permission in permissions {
        roles.entry(permission.ns.clone()).or_default().push(permission);
    }
    roles
}

/// `rookdoctor-read`
pub fn name(role: Role) -> String {
    format!("rookdoctor-{}", role.word())
}

fn metadata(role: Role, ns: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": "rookdoctor", "app.kubernetes.io/component": role.word()});
    let mut metadata = json!({"name": name(role), "labels": labels});
    if !ns.is_empty() {
        metadata["namespace"] = ns.into();
    }
    metadata
}

fn manifest(role: Role, ns: &str, permissions: &[&Permission]) -> Value {
    let kind = if ns.is_empty() { "ClusterRole" } else { "Role" };
    json!({"apiVersion": API, "kind": kind, "metadata": metadata(role, ns), "rules": rules(permissions)})
}

fn binding(role: Role, ns: &str, subjects: &[Subject]) -> Value {
    let kind = if ns.is_empty() { "ClusterRole" } else { "Role" };
    let subjects: Vec<Value> = subjects.iter().map(Subject::manifest).collect();
    json!({"apiVersion": API, "kind": format!("{kind}Binding"), "metadata": metadata(role, ns),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name(role)}, "subjects": subjects})
}

/// One rule for all resources of a group that share their verbs.
fn rules(permissions: &[&Permission]) -> Vec<Value> {
    let mut verbs: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    for Permission { verb, group, plural, part, .. } in permissions {
        let resource = if part.is_empty() { plural.clone() } else { format!("{plural}/{part}") };
        verbs.entry((group, resource)).or_default().insert(verb);
    }
    let mut rules: BTreeMap<(&str, BTreeSet<&str>), Vec<String>> = BTreeMap::new();
    for ((group, resource), verbs) in verbs {
        rules.entry((group, verbs)).or_default().push(resource);
    }
    let rule = |((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    rules.into_iter().map(rule).collect()
}

/// One list, for programs and for `kubectl apply -f -`.
pub fn list(manifests: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": manifests})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_kubectl_writes_them() {
        assert_eq!("user:ann".parse(), Ok(Subject::User("ann".into())));
        assert_eq!("group:system:masters".parse(), Ok(Subject::Group("system:masters".into())));
        let account = Subject::ServiceAccount { ns: "a".into(), name: "b".into() };
        assert_eq!("serviceaccount:a:b".parse(), Ok(account));
        for wrong in ["", "ann", "user:", "serviceaccount:b", "serviceaccount::b", "serviceaccount:a:b:c", "role:x"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_shares_its_verbs_is_one_rule() {
        let of = |verb, plural: &str, part| Permission {
            verb,
            group: String::new(),
            plural: plural.into(),
            part,
            ns: String::new(),
        };
        let all = [of("get", "nodes", ""), of("get", "pods", ""), of("list", "nodes", ""), of("list", "pods", "")];
        let log = of("get", "pods", "log");
        let rules = rules(&all.iter().chain([&log]).collect::<Vec<_>>());
        assert_eq!(
            rules,
            [
                json!({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}),
                json!({"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"]}),
            ]
        );
    }
}
