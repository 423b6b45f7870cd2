//! Who has which port of the nodes: CSI, Ceph, exporters and strangers, as their templates say.

use std::collections::BTreeSet;

use super::{Listing, Overview};
use crate::checks::csi::host_port_conflict;
use crate::checks::csi::ports::{Listener, map};
use crate::facts::{Facts, Gap, Row, kinds};

pub static OVERVIEW: Overview = Overview {
    name: "host-ports",
    title: "PORTS OF THE NODES",
    beside: &host_port_conflict::CHECK,
    columns: &["port", "namespace", "workload", "container", "nodes", "pods without it"],
    needs: &[Row::CsiDeployments, Row::DaemonSets, Row::CsiPods],
    run,
};

/// At most this many names are told of each.
const SHOWN: usize = 4;

fn run(facts: &Facts<'_>) -> Result<Listing, Gap> {
    let (listeners, blind) = map(facts)?;
    Ok(Listing { rows: listeners.iter().map(row).collect(), blind })
}

fn row(listener: &Listener<'_>) -> Vec<String> {
    let short = if listener.kind == kinds::DAEMON_SET { "ds" } else { "deploy" };
    let without = listener.without().count();
    vec![
        listener.port.to_string(),
        listener.metadata.namespace.clone(),
        format!("{short}/{}", listener.metadata.name),
        listener.container.to_owned(),
        some(&listener.nodes()),
        if without == 0 { String::new() } else { without.to_string() },
    ]
}

/// `3: w1, w2, w3`; nothing for none.
fn some(names: &BTreeSet<&str>) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    format!("{}: {shown}{}", names.len(), if names.len() > SHOWN { ", …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        assert_eq!(some(&BTreeSet::new()), "");
        assert_eq!(some(&BTreeSet::from(["w1", "w2"])), "2: w1, w2");
        assert_eq!(some(&BTreeSet::from(["a", "b", "c", "d", "e"])), "5: a, b, c, d, …");
    }
}
