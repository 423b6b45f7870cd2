//! The least permissions that this tool needs: made from the table of reads, from what a capture lists, and from what
//! fixes change. The tests send every request of many clusters through the printed roles.
//!
//! [`table`] says what is needed where; [`manifests`] prints it as roles; [`blind`] says what a missing one costs.

pub mod blind;
pub mod manifests;
pub mod table;

use std::collections::BTreeSet;

use crate::facts::live::Permission;

/// What permissions are for. Each is a role of its own, so that who wants less can leave one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look: diagnose, capture, plan.
    Read,
    /// To ask Ceph, in its own pods. Whoever may run a command there can also read keyrings.
    Exec,
    /// To carry plans out.
    Fix,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Exec => "exec",
            Self::Fix => "fix",
        }
    }
}

/// The namespaces that matter for one CephCluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub cluster: String,
    pub operator: String,
    /// Where Multus, whereabouts, Kube-OVN or CSI run, if that is neither of them: `kube-system`.
    pub ground: Vec<String>,
}

/// Where Multus, whereabouts and Kube-OVN are installed unless somebody chose otherwise.
const GROUND: &str = "kube-system";

impl Places {
    pub fn new(cluster: &str, operator: &str, also: &[String]) -> Self {
        let ground = std::iter::once(GROUND.to_owned()).chain(also.iter().cloned()).collect();
        Self { cluster: cluster.to_owned(), operator: operator.to_owned(), ground }
    }

    /// Each namespace once, that of the cluster first.
    pub fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for ns in [&self.cluster, &self.operator].into_iter().chain(&self.ground) {
            if !all.contains(&ns.as_str()) {
                all.push(ns);
            }
        }
        all
    }

    /// Those of the cluster and its operator.
    pub fn own(&self) -> Vec<&str> {
        if self.cluster == self.operator { vec![&self.cluster] } else { vec![&self.cluster, &self.operator] }
    }
}

/// How much is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Cluster-wide where it must be.
    Cluster,
    /// Nothing outside the namespaces of the cluster and its operator.
    Namespaces,
}

/// What a role has to allow: nothing twice, and nothing that another of its permissions covers.
pub fn permissions(role: Role, places: &Places, reach: Reach) -> BTreeSet<Permission> {
    let all = match role {
        Role::Read => table::read(places),
        Role::Exec => table::exec(places),
        Role::Fix => table::fix(places),
    };
    let all = match reach {
        Reach::Cluster => all,
        Reach::Namespaces => within(&all, places),
    };
    all.iter().filter(|one| !all.iter().any(|other| other != *one && covers(other, one))).cloned().collect()
}

/// Whether one who may do this may do that, too.
pub fn covers(wide: &Permission, narrow: &Permission) -> bool {
    let same =
        (wide.verb, &wide.group, &wide.plural, wide.part) == (narrow.verb, &narrow.group, &narrow.plural, narrow.part);
    same && (wide.ns.is_empty() || wide.ns == narrow.ns)
}

/// The same in the namespaces of the cluster and its operator, as far as it can be there.
fn within(all: &BTreeSet<Permission>, places: &Places) -> BTreeSet<Permission> {
    let mut inside = BTreeSet::new();
    for permission in all {
        if permission.ns.is_empty() && table::is_namespaced(permission) {
            let narrowed = places.own().into_iter().map(|ns| Permission { ns: ns.to_owned(), ..permission.clone() });
            inside.extend(narrowed);
        } else if places.own().contains(&permission.ns.as_str()) {
            inside.insert(permission.clone());
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new("rook", "op", &["multus".to_owned()])
    }

    #[test]
    fn nothing_is_granted_twice() {
        for role in [Role::Read, Role::Exec, Role::Fix] {
            let all = permissions(role, &places(), Reach::Cluster);
            for one in &all {
                assert!(!all.iter().any(|other| other != one && covers(other, one)), "{one}");
            }
        }
    }

    #[test]
    fn nothing_leaves_the_namespaces_that_were_named() {
        for role in [Role::Read, Role::Exec, Role::Fix] {
            let all = permissions(role, &places(), Reach::Namespaces);
            assert!(!all.is_empty());
            for one in all {
                assert!(["rook", "op"].contains(&one.ns.as_str()), "{one}");
            }
        }
    }
}
