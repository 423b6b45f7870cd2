//! What would open an unknown: the permission that is missing, what to capture, which flag to raise.

use crate::facts::{Fact, Unknown, Why};

/// What the reader can do to make this fact known.
pub fn need(unknown: &Unknown) -> String {
    let Unknown { fact, why } = unknown;
    let of_ceph = matches!(fact, Fact::Ceph { .. } | Fact::OkToStop { .. } | Fact::Socket { .. });
    match why {
        Why::Forbidden(_) => permission(fact),
        Why::NotCaptured => format!("a bundle that holds: {fact}"),
        Why::Timeout if of_ceph => "monitors that answer, or a longer --timeout".into(),
        Why::Timeout | Why::Deadline => "a longer --timeout".into(),
        Why::Unreachable(_) if of_ceph => "a way to run ceph: a running operator, toolbox or monitor pod".into(),
        Why::Unreachable(_) => "a cluster that answers: see what kubectl says to the same question".into(),
        Why::Failed { .. } => "the same command run by hand in the toolbox or the operator's pod".into(),
        Why::Malformed(_) => "an answer that can be read; if the cluster's own is sound, report this".into(),
        Why::OverBudget => "a look by hand: it is more than one run may read".into(),
        Why::NotOffered(_) => "nothing: this layout does not offer it".into(),
    }
}

/// The rule that a role would need.
fn permission(fact: &Fact) -> String {
    let place = |ns: &str| if ns.is_empty() { "in all namespaces".to_owned() } else { format!("in {ns}") };
    match fact {
        Fact::Discovery => "get /api and /apis (ClusterRole system:discovery)".into(),
        Fact::Rows { kind, .. } | Fact::List { kind, .. } if !kind.namespaced => format!("list {}", kind.resource()),
        Fact::Object { kind, .. } | Fact::Whole { kind, .. } if !kind.namespaced => format!("get {}", kind.resource()),
        Fact::Rows { kind, ns, .. } => format!("list {} {}", kind.resource(), place(ns)),
        Fact::List { kind, ns, .. } => format!("list {} {}", kind.resource(), place(ns.as_deref().unwrap_or_default())),
        Fact::Object { kind, ns, .. } | Fact::Whole { kind, ns, .. } => {
            format!("get {} {}", kind.resource(), place(ns))
        }
        Fact::Log { ns, .. } => format!("get pods/log {}", place(ns)),
        Fact::Ceph { ns, .. } | Fact::OkToStop { ns, .. } | Fact::Socket { ns, .. } => {
            format!("get and create pods/exec {}", place(ns))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{CephCommand, Select, kinds};

    #[test]
    fn a_refusal_names_the_rule() {
        let ns = || "rook-ceph".to_owned();
        let log = Fact::Log { ns: ns(), pod: "p".into(), container: "c".into(), previous: false };
        let ceph = Fact::Ceph { ns: ns(), command: CephCommand::Status };
        let rows = Fact::Rows { kind: kinds::POD, ns: ns(), label: "app=rook-ceph-osd".into() };
        let everywhere = Fact::List { kind: kinds::CEPH_CLUSTER, ns: None, select: Select::all() };
        let nodes = Fact::Rows { kind: kinds::NODE, ns: String::new(), label: String::new() };
        for (fact, rule) in [
            (log, "get pods/log in rook-ceph"),
            (ceph, "get and create pods/exec in rook-ceph"),
            (rows, "list pods in rook-ceph"),
            (everywhere, "list cephclusters.ceph.rook.io in all namespaces"),
            (nodes, "list nodes"),
        ] {
            assert_eq!(need(&Unknown { fact, why: Why::Forbidden("no".into()) }), rule);
        }
    }
}
