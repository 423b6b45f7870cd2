use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Boot, boots};
use crate::check;
use crate::check::{Answered, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Settled, Why, both, known};
use crate::say;

check! {
    /// # What it looks at
    /// Which nodes booted within the last day. `Rebooted` events live an hour; what lasts is the end of the
    /// containers of host-network pods: exit code 255, reason `Unknown`, one time for all of them.
    ///
    /// # Why it matters
    /// A boot is context for much of what else is seen: restarts, networks that came up in the wrong order,
    /// mounts that hang. When every node booted at once (a power cut) and the monitors have no quorum yet, the
    /// cold start itself is the cause, for about ten minutes: mons come first, then mgr, OSDs, placement groups,
    /// MDS, and consumers last. `status.ceph.health` of the CephCluster is then from before the cut.
    ///
    /// # Confirm by hand
    /// `kubectl get events -A --field-selector reason=Rebooted`, `kubectl get node <node> -o
    /// jsonpath='{.status.nodeInfo.bootID}'`, and `uptime -s` on the node.
    ///
    /// # Fix
    /// None. During a cold start wait and look again in two minutes. Do not restore the quorum, delete monitors
    /// or change the monmap: no monitor is lost.
    ///
    /// # References
    /// Kubernetes: kubelet, event `Rebooted`; Rook: Troubleshooting/ceph-common-issues, "Monitors are the only
    /// pods running".
    "NODE003" "node-rebooted" Node,
    needs: [Nodes, RebootEvents, CsiPods, PodTables, Objects, CephStatus, MonPods],
    explained_by: [],
}

const DAY: i64 = 24 * 3600;
/// A cold start that takes longer than this after the last boot has a fault of its own.
const COLD_START: i64 = 600;
/// Boots of one power cut lie within this time.
const TOGETHER: i64 = 1800;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (nodes, boots) = both(facts.nodes().settled(), boots(facts, |_| true))?;
    let recent = |boot: &Boot| facts.now().duration_since(boot.at).as_secs() <= DAY;
    let seen: BTreeMap<String, Boot> = boots.seen.into_iter().filter(|(_, boot)| recent(boot)).collect();
    let mut blind = boots.blind;
    let all_booted = known(nodes, &mut blind).is_some_and(|nodes| is_cold_start(nodes, &seen, facts.now()));
    // The monitors of an external cluster are on other machines.
    if all_booted && !facts.cluster()?.external && !has_quorum(facts)? {
        return Ok(Answered::judged(vec![cold_start(&seen)]).blind(blind));
    }
    let findings = seen.iter().map(|(node, boot)| rebooted(node, boot)).collect();
    Ok(Answered::judged(findings).blind(blind))
}

/// Every node that is up booted lately, the last within ten minutes.
fn is_cold_start(nodes: &[NodeRow], boots: &BTreeMap<String, Boot>, now: Timestamp) -> bool {
    let age = |boot: &Boot| now.duration_since(boot.at).as_secs();
    let mut up = nodes.iter().filter(|node| node.is_ready()).peekable();
    let youngest = boots.values().map(age).min();
    up.peek().is_some()
        && youngest.is_some_and(|age| age <= COLD_START)
        && up.all(|node| boots.get(&node.name).is_some_and(|boot| age(boot) <= TOGETHER))
}

/// Decides between context and cause only; a cluster that cannot be asked is judged by its monitors' pods.
fn has_quorum(facts: &Facts<'_>) -> Result<bool, Gap> {
    let (status, mons) = both(facts.ceph_status().settled(), facts.mon_pods().settled())?;
    Ok(match (status, mons) {
        (Ok(status), _) => !status.quorum.is_empty(),
        (Err(unknown), _) if unknown.why == Why::Timeout => false,
        (Err(_), Ok(mons)) => mons.iter().filter(|mon| mon.is_well()).count() * 2 > mons.len(),
        (Err(_), Err(_)) => true,
    })
}

fn cold_start(boots: &BTreeMap<String, Boot>) -> Finding {
    let names: Vec<&str> = boots.keys().map(String::as_str).collect();
    let mut objects = names.iter().map(|name| ObjectRef::node(name));
    let first = objects.next().unwrap_or_else(|| ObjectRef::node(""));
    let summary =
        say!("every node has just booted ({}) and the monitors have no quorum yet: a cold start", names.join(", "));
    let remedy = Remedy::advice(say!(
        "wait and look again in two minutes: the monitors form the quorum as soon as their nodes' network is up, then mgr, OSDs and MDS follow; do not restore the quorum by hand, delete monitors or change the monmap"
    ))
    .command("kubectl get nodes")
    .command("kubectl get pods -A -o wide | grep -v Running");
    Finding::critical(first, summary, remedy)
        .also(objects)
        .at(names.iter().map(|name| Place::node(*name)))
        .since(boots.values().map(|boot| boot.at).min())
        .evidence(boots.values().filter_map(|boot| boot.evidence.first().cloned()))
}

fn rebooted(node: &str, boot: &Boot) -> Finding {
    let summary = say!("node {} booted at {}", node, boot.at.strftime("%F %TZ"));
    let remedy =
        Remedy::advice(say!("nothing by itself; where pods of {} hang, look at what the boot left behind", node));
    Finding::info(ObjectRef::node(node), summary, remedy)
        .at([Place::node(node)])
        .since(Some(boot.at))
        .evidence(boot.evidence.clone())
}
