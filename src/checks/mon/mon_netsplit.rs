use super::{EXTERNAL, Lost, Mon, Quorum, daemon, deployment, is_joining, list, majority, mons, outside, quorum};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::{ceph_command, toned};
use crate::facts::{Cluster, Each, Facts, Gap, MonPod, Settled, both};
use crate::lang::clauses;
use crate::objects::ceph::{HealthCheck, MonStatus};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// Monitors that run and do not see each other: Ceph's `MON_NETSPLIT` (Ceph 20, election strategy `connectivity`); a monitor
    /// that is out of a quorum that holds, while its own socket answers `probing` or `electing`; and, without a
    /// quorum, enough monitors for one whose sockets all answer so. Two minutes after a start nothing is judged.
    ///
    /// # Why it matters
    /// `probing` means that nobody answers at the addresses of the monmap, `electing` that votes get lost on the way.
    /// Restarts do not help then, and new monitors meet the same network.
    ///
    /// # Confirm by hand
    /// In the pod of each monitor `ceph --admin-daemon /run/ceph/ceph-mon.<id>.asok mon_status`, and from one to the addresses of the
    /// others `curl -s --max-time 5 <address>:3300`, which must print `ceph v2`.
    ///
    /// # Fix
    /// Repair what lies between these nodes: the pod network, the Service proxy, NetworkPolicies and firewalls on 3300
    /// and 6789, the MTU, routes of the storage network, clocks that differ by seconds. Delete no monitor.
    ///
    /// # References
    /// Ceph: "Health checks", MON_NETSPLIT; rados/troubleshooting/troubleshooting-mon, states of a monitor.
    "MON014" "mon-netsplit" Mon,
    needs: [CephHealth, CephStatus, QuorumStatus, MonPods, MonSockets, Nodes, Objects],
    explained_by: [
        (node::node_clock_skew, Node), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (net::nad_host_local_shared, Daemon),
        (mon::mon_stale_store, Daemon), (mon::mon_endpoints_mismatch, Daemon), (mon::mon_network_changed, Daemon),
    ],
    in_pod,
}

const CODE: &str = "MON_NETSPLIT";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (quorum, health) = both(quorum(facts), facts.ceph_health().settled())?;
    let mons = mons(facts)?;
    let (mut findings, mut blind) = (Vec::new(), Vec::new());
    match health {
        Ok(health) => findings.extend(health.checks.get(CODE).map(|check| reported(cluster, &mons, check))),
        // Without a quorum Ceph tells nothing, and the sockets are asked.
        Err(unknown) => blind.extend((!matches!(quorum, Quorum::Lost(_))).then_some(unknown)),
    }
    match &quorum {
        Quorum::Open(more) => blind.extend(more.iter().cloned()),
        Quorum::Lost(lost) => {
            let answered: Vec<&str> = lost.answered.iter().map(|status| status.name.as_str()).collect();
            let opened = opened(facts, &mons, &answered)?;
            let settled: Vec<&Mon<'_>> =
                opened.seen.iter().filter(|(_, pod)| !is_joining(facts, pod)).map(|(mon, _)| *mon).collect();
            blind.extend(opened.blind);
            findings.extend(is_apart(lost, settled.len()).then(|| nobody_sees(cluster, &settled, lost)));
        }
        Quorum::Holds { .. } => {
            let opened = opened(facts, &mons, &outside(facts, &quorum)?)?;
            let settled = opened.seen.into_iter().filter(|(_, pod)| !is_joining(facts, pod)).map(|(mon, _)| mon);
            let asked =
                facts.each(settled, |facts, mon| facts.mon_socket(&MonPod { id: mon.id, pod: &mon.pod.name }))?;
            blind.extend(opened.blind.into_iter().chain(asked.blind));
            let lonely = asked.seen.iter().filter(|(_, status)| is_lonely(status));
            findings.extend(lonely.map(|(mon, status)| out_of_reach(cluster, mon, status)));
        }
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// The pods of those of these monitors that run; they tell since when.
fn opened<'m, 's>(facts: &Facts<'s>, mons: &'m [Mon<'s>], ids: &[&str]) -> Result<Each<&'m Mon<'s>, &'s Pod>, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let running = mons.iter().filter(|mon| mon.runs() && ids.contains(&mon.id));
    facts.each(running, |facts, mon| facts.pod(ns, &mon.pod.name))
}

/// It looks for others; one that synchronizes has found one.
fn is_lonely(status: &MonStatus) -> bool {
    matches!(status.state.as_str(), "probing" | "electing")
}

/// Whether enough monitors for a quorum had their time to find each other.
fn is_apart(lost: &Lost<'_>, settled: usize) -> bool {
    let needed = majority(lost.map.len());
    needed > 1 && settled >= needed && lost.answered.iter().all(|status| is_lonely(status))
}

fn places(mon: &Mon<'_>) -> impl Iterator<Item = Place> {
    [daemon(mon.id)].into_iter().chain(mon.node.map(Place::node))
}

fn remedy(ns: &str, whom: &Text) -> Remedy {
    Remedy::guided(say!("repair the network between {}: pod network, Service proxy, NetworkPolicies and firewalls on ports 3300 and 6789, MTU, routes of the storage network, clocks; do not restart or delete monitors for it", whom))
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide"))
        .command(format!("kubectl -n {ns} get svc,networkpolicies -o wide"))
}

/// What Ceph reports: `Netsplit detected between mon.b and mon.c`, or between two places of the CRUSH tree.
fn reported(cluster: &Cluster, mons: &[Mon<'_>], check: &HealthCheck) -> Finding {
    let details: Vec<&str> = check.details().collect();
    let named: Vec<&Mon<'_>> = mons.iter().filter(|mon| details.iter().any(|detail| names(detail, mon.id))).collect();
    let message = if details.is_empty() { clauses([check.summary.message.as_str()]) } else { clauses(&details) };
    let summary = say!("the quorum holds, but monitors do not see each other: {}", message);
    let whom = match named.as_slice() {
        [] => say!("these places"),
        named => say!("{}", list(named.iter().map(|mon| mon.id))),
    };
    let remedy = remedy(&cluster.ns, &whom).command(ceph_command(cluster, "mon dump"));
    Finding::new(toned(check, Severity::Warning), ObjectRef::cluster(cluster), summary, remedy)
        .detail(CODE)
        .at(named.into_iter().flat_map(places))
        .evidence(details.iter().map(|detail| Evidence::ceph("health detail", format!("{CODE}: {detail}"))))
}

fn names(detail: &str, id: &str) -> bool {
    detail.split_whitespace().any(|word| word.strip_prefix("mon.") == Some(id))
}

fn nobody_sees(cluster: &Cluster, settled: &[&Mon<'_>], lost: &Lost<'_>) -> Finding {
    let states: Vec<String> =
        lost.answered.iter().map(|status| format!("mon.{} {}", status.name, status.state)).collect();
    let summary = say!(
        "{} of {} monitors run and answer, and none sees enough others ({})",
        lost.answered.len(),
        lost.map.len(),
        states.join(", ")
    );
    let whom = say!("{}", list(settled.iter().map(|mon| mon.id)));
    let told = lost.answered.iter().map(|status| Evidence::socket(&format!("mon.{}", status.name), state(status)));
    Finding::critical(ObjectRef::cluster(cluster), summary, remedy(&cluster.ns, &whom))
        .at(settled.iter().flat_map(|mon| places(mon)))
        .evidence(told)
}

fn out_of_reach(cluster: &Cluster, mon: &Mon<'_>, status: &MonStatus) -> Finding {
    let summary = say!("mon.{} runs and does not reach the quorum ({})", mon.id, status.state);
    let whom = say!("mon.{} and the others", mon.id);
    Finding::warning(deployment(&cluster.ns, mon.id), summary, remedy(&cluster.ns, &whom)).at(places(mon)).evidence([
        Evidence::socket(&format!("mon.{}", mon.id), state(status)),
        Evidence::pod_row(mon.pod, &cluster.ns),
    ])
}

fn state(status: &MonStatus) -> String {
    let addresses = status.monmap.mons.iter().filter_map(|mon| Some((&mon.name, mon.public_addrs.addrvec.first()?)));
    let addresses: Vec<String> = addresses.map(|(name, address)| format!("{name}={}", address.addr)).collect();
    format!("state {}, quorum {:?}, monmap {}", status.state, status.quorum, addresses.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_names_whole_ids() {
        let detail = "Netsplit detected between mon.b and mon.ac";
        assert_eq!(["a", "b", "c", "ac"].map(|id| names(detail, id)), [false, true, false, true]);
        assert!(!names("Netsplit detected between dc1 and dc2", "dc1"));
    }

    #[test]
    fn who_synchronizes_has_found_another() {
        let in_state = |state: &str| MonStatus { state: state.into(), ..MonStatus::default() };
        let states = ["probing", "electing", "synchronizing", "peon"];
        assert_eq!(states.map(|state| is_lonely(&in_state(state))), [true, true, false, false]);
    }
}
