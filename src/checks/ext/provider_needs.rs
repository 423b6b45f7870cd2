use std::collections::BTreeSet;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::mon::{list, majority};
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::ceph::{Addresses, Health, HealthCheck, Osd, OsdDump, QuorumStatus, TimeSync};
use crate::say;

check! {
    /// # What it looks at
    /// What the Ceph of an external cluster needs where it runs, a Proxmox VE among others: quorum, equal clocks, low
    /// latency, separate networks, an order of starting and of removing nodes. Each need is *observed* (from
    /// `ceph health detail`, `quorum_status`, `time-sync-status` and `osd dump`), *hinted*, or *not observable from
    /// here*, with what to run on a host there. Beyond that list, which is information: monitors that are out of
    /// quorum, and one or two monitors for three hosts or more. Clocks, slow heartbeats, flags and lost OSDs have
    /// checks of their own.
    ///
    /// # Why it matters
    /// Nothing here can be better than the provider. Proxmox VE has a second quorum, corosync's, that Ceph knows
    /// nothing of: without it `/etc/pve` is read-only and no guest starts. It bears less than 5 ms of latency, so
    /// storage traffic on its network can take whole hosts down.
    ///
    /// # Confirm by hand
    /// On a host of the provider: `pvecm status`, `corosync-cfgtool -s`, `chronyc tracking`, `ceph -s`.
    ///
    /// # Fix
    /// Never `pvecm expected 1` while the other side may live: both then write. Remove a node in this order: guests
    /// away, OSDs out and `active+clean`, its OSDs, monitor and mgr destroyed, power off, `pvecm delnode`; it must never
    /// boot again as it is. A node that was only cut off still has the keys and reaches the storage. Cold start:
    /// network and time, corosync's quorum, monitors, mgr, OSDs, PGs active, MDS, and only then what uses them.
    ///
    /// # References
    /// Proxmox VE: administration guide, "Cluster Manager" and "Deploy Hyper-Converged Ceph Cluster"; Rook:
    /// CRDs/Cluster/external-cluster.
    "EXT005" "provider-needs" Ext,
    needs: [CephHealth, QuorumStatus, TimeSync, OsdDump],
    explained_by: [(node::node_clock_skew, Daemon)],
}

/// What corosync bears, in seconds.
const LATENCY: f64 = 0.005;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if !cluster.external {
        return Ok(Answered::NotApplicable("the cluster is not external"));
    }
    let maps = both(facts.quorum_status(), facts.osd_dump());
    let ((quorum, dump), (health, sync)) = both(maps, both(facts.ceph_health(), facts.time_sync()))?;
    let mut findings = vec![needs(cluster, health, quorum, sync, dump)];
    findings.extend(health.checks.get("MON_DOWN").map(|down| out_of_quorum(cluster, quorum, down)));
    findings.extend(too_few(cluster, quorum, hosts(&dump.osds).len()));
    Ok(Answered::judged(findings))
}

/// How a need is known.
const OBSERVED: &str = "observed";
const HINTED: &str = "hinted";
const THERE: &str = "not observable from here";

struct Need {
    what: &'static str,
    known: &'static str,
    text: String,
}

fn needs(cluster: &Cluster, health: &Health, quorum: &QuorumStatus, sync: &TimeSync, dump: &OsdDump) -> Finding {
    let need = |what, known, text: String| Need { what, known, text };
    let all = [
        need("quorum of the monitors", OBSERVED, monitors(quorum).english()),
        need(
            "quorum of corosync",
            THERE,
            "run `pvecm status` on a host; never `pvecm expected 1` while the other side may live".into(),
        ),
        need("clocks", OBSERVED, clocks(sync)),
        need("latency", OBSERVED, latency(sync)),
        need("separate networks", OBSERVED, networks(&dump.osds)),
        need(
            "network of corosync",
            THERE,
            "run `corosync-cfgtool -s` on a host: it should not share a link with storage".into(),
        ),
        cold_start(health),
        removal(health),
    ];
    let count = |known: &str| all.iter().filter(|need| need.known == known).count();
    let summary = say!(
        "the provider's own needs: {} observed, {} hinted, {} to be seen on its hosts only",
        count(OBSERVED),
        count(HINTED),
        count(THERE)
    );
    let remedy = Remedy::advice(say!("run these on a host of the provider if it is Proxmox VE; a removed node must never boot again as it was, and a node that is only cut off keeps its keys and its way to the storage"))
        .command("pvecm status")
        .command("corosync-cfgtool -s")
        .command("chronyc tracking")
        .command("ceph -s");
    let evidence = all.into_iter().map(|Need { what, known, text }| Evidence {
        from: format!("need of the provider: {what}"),
        field: known.to_owned(),
        at: None,
        excerpt: text,
    });
    Finding::info(ObjectRef::cluster(cluster), summary, remedy).detail("needs").evidence(evidence)
}

/// The monitors of the map that are not in the quorum.
fn outside(quorum: &QuorumStatus) -> Vec<&str> {
    let names = quorum.monmap.mons.iter().map(|mon| mon.name.as_str());
    names.filter(|name| !quorum.quorum_names.iter().any(|inside| inside == name)).collect()
}

fn monitors(quorum: &QuorumStatus) -> Text {
    let (inside, total) = (quorum.quorum_names.len(), quorum.monmap.mons.len());
    let spare = inside.saturating_sub(majority(total));
    let names = quorum.quorum_names.join(", ");
    say!("{} of {} monitors are in ({}); {} more may be lost", inside, total, names, spare)
}

fn clocks(sync: &TimeSync) -> String {
    let worst = sync.time_skew_status.values().map(|row| row.skew.abs()).fold(0.0, f64::max);
    format!("the monitors' clocks differ by {worst:.4} s at most, of 0.05 s that Ceph bears")
}

fn latency(sync: &TimeSync) -> String {
    let worst = sync.time_skew_status.values().map(|row| row.latency).fold(0.0, f64::max);
    let judged = if worst > LATENCY { "more than" } else { "within" };
    format!(
        "{:.2} ms between monitors at most, {judged} the 5 ms that corosync bears if it shares this network",
        worst * 1000.0
    )
}

/// The hosts of OSDs, by address.
fn hosts(osds: &[Osd]) -> BTreeSet<&str> {
    osds.iter().filter_map(|osd| address(&osd.public_addrs)).collect()
}

fn address(addresses: &Addresses) -> Option<&str> {
    addresses.addrvec.first().map(|address| address.host())
}

fn networks(osds: &[Osd]) -> String {
    let both = osds.iter().filter_map(|osd| Some((osd.osd, address(&osd.public_addrs)?, address(&osd.cluster_addrs)?)));
    let both: Vec<_> = both.collect();
    match both.iter().find(|(_, public, cluster)| public == cluster) {
        Some((osd, address, _)) => {
            format!("osd.{osd} uses {address} for clients and for replication: the cluster network is not apart")
        }
        None => match both.first() {
            Some((osd, public, cluster)) => {
                format!("clients and replication are apart (osd.{osd}: {public} and {cluster})")
            }
            None => "there are no OSDs".to_owned(),
        },
    }
}

fn cold_start(health: &Health) -> Need {
    let what = "cold start";
    match health.checks.get("OSDMAP_FLAGS") {
        Some(flags) => Need {
            what,
            known: HINTED,
            text: format!("{}: flags of a planned stop are to be unset in the end", flags.summary.message),
        },
        None => Need {
            what,
            known: THERE,
            text: "start network and time first, then corosync's quorum, monitors, mgr, OSDs, MDS, and clients last"
                .into(),
        },
    }
}

fn removal(health: &Health) -> Need {
    let what = "removal of nodes";
    let gone = ["MON_DOWN", "OSD_HOST_DOWN"].iter().find_map(|code| Some((*code, health.checks.get(*code)?)));
    match gone {
        Some((code, it)) => Need {
            what,
            known: HINTED,
            text: format!(
                "{code}: {}; if that host was removed, its OSDs and monitor were not taken out before",
                it.summary.message
            ),
        },
        None => Need {
            what,
            known: THERE,
            text: "nothing that Ceph still counts is missing; compare `pvecm nodes` with `ceph osd tree`".into(),
        },
    }
}

fn out_of_quorum(cluster: &Cluster, quorum: &QuorumStatus, down: &HealthCheck) -> Finding {
    let outside = outside(quorum);
    let severity = if down.muted { Severity::Info } else { Severity::Warning };
    let who = match outside.as_slice() {
        [] => say!("a monitor"),
        outside => say!("{}", list(outside.iter().copied())),
    };
    let summary = say!("{} of the provider is out of quorum: {}", who, monitors(quorum));
    let remedy = Remedy::guided(say!("bring the host of that monitor back; if it was removed for good, take the monitor out at the provider while the others have quorum"))
        .command("ceph -s")
        .command("ceph quorum_status");
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .detail("quorum")
        .at(outside.iter().map(|id| Place::daemon("mon", id)))
        .evidence([Evidence::ceph("health detail", format!("MON_DOWN: {}", down.summary.message))])
        .evidence(down.details().take(3).map(|detail| Evidence::ceph("health detail", detail)))
}

/// One or two monitors where there are hosts for three.
fn too_few(cluster: &Cluster, quorum: &QuorumStatus, hosts: usize) -> Option<Finding> {
    let mons = quorum.monmap.mons.len();
    if !(1..=2).contains(&mons) || hosts < 3 {
        return None;
    }
    let summary =
        say!("the provider has {} monitor(s) for {} hosts with OSDs: the loss of one stops the storage", mons, hosts);
    let remedy = Remedy::advice(say!("let the provider run three monitors, on three hosts")).command("ceph mon dump");
    let names = quorum.monmap.mons.iter().map(|mon| mon.name.as_str()).collect::<Vec<_>>().join(", ");
    let finding = Finding::warning(ObjectRef::cluster(cluster), summary, remedy).detail("monitors");
    Some(finding.evidence([Evidence::ceph("quorum_status", format!("monmap: {names}"))]))
}
