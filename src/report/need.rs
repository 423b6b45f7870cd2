//! What would open an unknown: the permission that is missing, what to capture, which flag to raise.

use crate::facts::{Fact, Unknown, Why};
use crate::lang::Text;
use crate::say;

/// What the reader can do to make this fact known.
pub fn need(unknown: &Unknown) -> Text {
    let Unknown { fact, why } = unknown;
    let of_ceph = matches!(fact, Fact::Ceph { .. } | Fact::OkToStop { .. } | Fact::Socket { .. });
    match why {
        Why::Forbidden(_) => permission(fact),
        Why::NotCaptured => say!("a bundle that holds: {}", fact.text()),
        Why::Timeout if of_ceph => say!("monitors that answer, or a longer --timeout"),
        Why::Timeout | Why::Deadline => say!("a longer --timeout"),
        Why::Unreachable(_) if of_ceph => say!("a way to run ceph: a running operator, toolbox or monitor pod"),
        Why::Unreachable(_) => say!("a cluster that answers: see what kubectl says to the same question"),
        Why::Failed { .. } => say!("the same command run by hand in the toolbox or the operator's pod"),
        Why::Malformed(_) => say!("an answer that can be read; if the cluster's own is sound, report this"),
        Why::OverBudget => say!("a look by hand: it is more than one run may read"),
        Why::NotOffered(_) => say!("nothing: this layout does not offer it"),
    }
}

/// The rule that a role would need.
fn permission(fact: &Fact) -> Text {
    let place = |ns: &str| if ns.is_empty() { say!("in all namespaces") } else { say!("in {}", ns) };
    match fact {
        Fact::Discovery => say!("get /api and /apis (ClusterRole system:discovery)"),
        Fact::Rows { kind, .. } | Fact::List { kind, .. } if !kind.namespaced => say!("list {}", kind.resource()),
        Fact::Object { kind, .. } | Fact::Whole { kind, .. } if !kind.namespaced => say!("get {}", kind.resource()),
        Fact::Rows { kind, ns, .. } => say!("list {} {}", kind.resource(), place(ns)),
        Fact::List { kind, ns, .. } => say!("list {} {}", kind.resource(), place(ns.as_deref().unwrap_or_default())),
        Fact::Object { kind, ns, .. } | Fact::Whole { kind, ns, .. } => {
            say!("get {} {}", kind.resource(), place(ns))
        }
        Fact::Log { ns, .. } => say!("get pods/log {}", place(ns)),
        Fact::Ceph { ns, .. } | Fact::OkToStop { ns, .. } | Fact::Socket { ns, .. } => {
            say!("get and create pods/exec {}", place(ns))
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
            assert_eq!(need(&Unknown { fact, why: Why::Forbidden("no".into()) }).english(), rule);
        }
    }
}
