//! The object that a step changes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::{Kind, kinds};

/// An object by its name and its identity: one that was made anew under the same name is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// `deployments.apps`, or `pods` for the core group.
    pub resource: String,
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Object {
    pub fn new(kind: Kind, namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            resource: kind.resource(),
            kind: kind.kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    /// The object that this is.
    pub fn of(kind: Kind, whole: &Value) -> Self {
        let meta = |field: &str| whole["metadata"][field].as_str().unwrap_or_default();
        Self::new(kind, meta("namespace"), meta("name"), meta("uid"))
    }

    /// The kind, if this version of the tool knows it.
    pub fn known(&self) -> Option<Kind> {
        kinds::ALL.iter().find(|kind| kind.resource() == self.resource).copied()
    }

    /// `-n rook-ceph `, or nothing for cluster-scoped kinds.
    pub fn in_namespace(&self) -> String {
        if self.namespace.is_empty() { String::new() } else { format!("-n {} ", self.namespace) }
    }

    /// `pod/rook-ceph-mon-a`, `deployment.apps/rook-ceph-operator`
    pub fn kubectl_name(&self) -> String {
        let (plural, group) = self.resource.split_once('.').unwrap_or((&self.resource, ""));
        let dot = if group.is_empty() { "" } else { "." };
        let singular =
            if plural.eq_ignore_ascii_case(&self.kind) { plural.to_owned() } else { self.kind.to_lowercase() };
        // The CRD of NADs has no singular name of one word.
        let singular = if self.kind == "NetworkAttachmentDefinition" { plural.to_owned() } else { singular };
        format!("{singular}{dot}{group}/{}", self.name)
    }

    /// Who owns the object beside the cluster, and will put back what is changed: GitOps or Helm.
    pub fn owner_outside(whole: &Value) -> Option<String> {
        let mark = |at: &str, key: &str| whole["metadata"][at][key].as_str().map(str::to_owned);
        let argo = mark("annotations", "argocd.argoproj.io/tracking-id")
            .or_else(|| mark("labels", "argocd.argoproj.io/instance"))
            .map(|app| format!("Argo CD ({})", app.split(':').next().unwrap_or(&app)));
        let flux = mark("labels", "kustomize.toolkit.fluxcd.io/name")
            .map(|name| format!("Flux (Kustomization {name})"))
            .or_else(|| mark("labels", "helm.toolkit.fluxcd.io/name").map(|name| format!("Flux (HelmRelease {name})")));
        let helm = mark("annotations", "meta.helm.sh/release-name").map(|release| format!("Helm (release {release})"));
        argo.or(flux).or(helm)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_have_the_names_that_kubectl_takes() {
        for (kind, name) in [
            (kinds::POD, "pod/x"),
            (kinds::DEPLOYMENT, "deployment.apps/x"),
            (kinds::CEPH_CLUSTER, "cephcluster.ceph.rook.io/x"),
            (kinds::NETWORK_ATTACHMENT, "network-attachment-definitions.k8s.cni.cncf.io/x"),
            (kinds::CONFIG_MAP, "configmap/x"),
        ] {
            let object = Object::new(kind, "ns", "x", "");
            assert_eq!(object.kubectl_name(), name);
            assert_eq!(object.known(), Some(kind));
        }
    }

    #[test]
    fn who_reverts_a_change_is_known_by_its_marks() {
        let helm = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "rook"}}});
        let argo = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "storage:apps/Deployment:a/b",
            "meta.helm.sh/release-name": "rook"}}});
        let flux = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}}});
        assert_eq!(Object::owner_outside(&helm).as_deref(), Some("Helm (release rook)"));
        assert_eq!(Object::owner_outside(&argo).as_deref(), Some("Argo CD (storage)"));
        assert_eq!(Object::owner_outside(&flux).as_deref(), Some("Flux (Kustomization infra)"));
        assert_eq!(Object::owner_outside(&json!({"metadata": {}})), None);
    }
}
