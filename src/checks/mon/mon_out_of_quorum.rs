use super::{
    EXTERNAL, Mon, Quorum, assigned_nodes, daemon, deployment, is_expected, list, majority, mons, outside, quorum,
};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy, Severity};
use crate::checks::opr::{OPERATOR, operator_log};
use crate::facts::{Facts, Gap, Settled};
use crate::say;

check! {
    /// # What it looks at
    /// The quorum holds, and monitors of the monmap are not in it: `ceph status` and `ceph quorum_status`, or the
    /// socket of a monitor that is a member. The operator's log tells how long until Rook replaces one: ten minutes
    /// out of quorum, twice as long while its pod has no node, never with `timeout: "0"`. One that was started
    /// less than two minutes ago is only mentioned.
    ///
    /// # Why it matters
    /// The cluster serves with fewer monitors than it was built for: one or two more, and everything stops.
    ///
    /// # Confirm by hand
    /// `ceph quorum_status` (`quorum_names` against `monmap.mons`) and `ceph health detail` (`MON_DOWN`).
    ///
    /// # Fix
    /// Bring its pod or its node back; it rejoins by itself. If that takes longer than the timer, Rook makes a new
    /// monitor elsewhere, which needs a free node. Do not delete a monitor by hand meanwhile.
    ///
    /// # References
    /// Rook: Storage-Configuration/Advanced/ceph-mon-health; pkg/operator/ceph/cluster/mon/health.go.
    "MON002" "mon-out-of-quorum" Mon,
    needs: [CephStatus, QuorumStatus, CephHealth, MonPods, MonSockets, Nodes, OperatorPods, Logs, Objects],
    explained_by: [
        (mon::mon_unschedulable, Daemon), (mon::mon_not_running, Daemon), (mon::mons_start_slowly, Cluster),
        (mon::mon_stale_store, Daemon), (mon::mon_endpoints_mismatch, Daemon), (mon::mon_disk_low, Daemon),
        (mon::mon_network_changed, Daemon), (mon::mon_bind_address, Daemon), (mon::mon_netsplit, Daemon),
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::node_clock_skew, Node), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (net::nad_host_local_shared, Daemon),
        (net::sandbox_failing, Node), (net::nad_range_exhausted, Node), (net::nad_master_missing, Node),
        (net::cni_plugin_missing, Node), (net::multus_init_crash, Node), (net::multus_daemon_down, Node),
        (net::attachment_missing, Daemon), (net::network_policy_blocks, Daemon), (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node), (ovn::ovn_database_broken, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let quorum = quorum(facts)?;
    let outside = outside(facts, &quorum)?;
    let (inside, total) = match quorum {
        Quorum::Holds { inside, mons, .. } => (inside, mons),
        // With none, nobody is out of it: that is MON001's to report.
        Quorum::Lost(_) => return Ok(Answered::passed()),
        Quorum::Open(blind) => return Ok(Answered::passed().blind(blind)),
    };
    if outside.is_empty() {
        return Ok(Answered::passed());
    }
    let mons = mons(facts).settled()?.unwrap_or_default();
    let findings = outside.iter().map(|id| finding(facts, id, &inside, total, &mons));
    Ok(Answered::judged(findings.collect::<Result<_, _>>()?))
}

fn finding(facts: &Facts<'_>, id: &str, inside: &[&str], total: usize, mons: &[Mon<'_>]) -> Result<Finding, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let mon = mons.iter().find(|mon| mon.id == id);
    let assigned = assigned_nodes(facts)?;
    let node = mon.and_then(|mon| mon.node).or_else(|| assigned.get(id).map(String::as_str));
    let spare = inside.len().saturating_sub(majority(total));
    let risk = match spare {
        0 => say!("the loss of one more stops the cluster"),
        spare => say!("{} more may be lost", spare),
    };
    let summary = say!(
        "mon.{} is out of quorum; {} of {} are in ({}): {}",
        id,
        inside.len(),
        total,
        list(inside.iter().copied()),
        risk
    );
    let remedy = Remedy::guided(say!("bring the pod of mon.{} (or its node) back: it rejoins by itself; if its timer runs out first, Rook makes a new monitor, which needs a free node; delete no monitor by hand", id))
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon,mon={id} -o wide"))
        .command(format!("kubectl -n {ns} describe pod -l app=rook-ceph-mon,mon={id}"));
    let calm = is_expected(facts, mon, node)?;
    let severity = if calm { Severity::Info } else { Severity::Warning };
    Ok(Finding::new(severity, deployment(ns, id), summary, remedy)
        .at([daemon(id)].into_iter().chain(node.map(Place::node)))
        .evidence(health(facts, id)?)
        .evidence(mon.map(|mon| Evidence::pod_row(mon.pod, ns)))
        .evidence(timer(facts, id)?))
}

/// What Ceph says of this monitor. Further evidence only: without it the finding stands.
fn health(facts: &Facts<'_>, id: &str) -> Result<Option<Evidence>, Gap> {
    let Ok(health) = facts.ceph_health().settled()? else { return Ok(None) };
    let begin = format!("mon.{id} ");
    let detail = health.checks.get("MON_DOWN").and_then(|down| down.details().find(|text| text.starts_with(&begin)));
    Ok(detail.map(|detail| Evidence::ceph("health detail", format!("MON_DOWN: {detail}"))))
}

/// The operator's countdown to failover. Further evidence only: without it the finding stands.
fn timer(facts: &Facts<'_>, id: &str) -> Result<Option<Evidence>, Gap> {
    let Ok(Some((pod, log))) = operator_log(facts).settled()? else { return Ok(None) };
    let named = format!("mon \"{id}\" ");
    let about = |text: &str| text.contains(&named) && text.to_lowercase().contains("not found in quorum");
    let line = log.lines.iter().rev().find(|line| about(&line.text));
    Ok(line.map(|line| Evidence::log(&pod.ns, &pod.name, OPERATOR, line)))
}
