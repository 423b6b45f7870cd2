use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::gates::{GATES, Gate};
use super::others;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::ceph_command;
use crate::checks::opr::{OPERATOR, ago, older, operator_log, operator_object};
use crate::facts::{Cluster, Facts, Gap, Log, LogLine, Settled, both, known};
use crate::lang::clauses;
use crate::objects::ceph::Status;
use crate::objects::kube::{Condition, Event, condition};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// What holds an upgrade of Ceph, or another update of the OSDs. Before the first daemon: a reconcile that failed
    /// at a gate (HEALTH_ERR, a release that Rook does not support, an image whose version is not known, monitors
    /// without quorum), for a quarter of an hour. Amid the OSDs: no OSD was updated in half an hour, and the
    /// operator's log says that they are not ok to stop, or that placement groups are not healthy. While data is
    /// being recovered that is only mentioned: the next OSD waits for it by design.
    ///
    /// # Why it matters
    /// The operator tries again for ever and says so in its log alone. Until the gate opens the cluster runs two
    /// versions, or the old one, and changes of the CephCluster wait.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster -o yaml` (conditions), the operator's log for `refusing to upgrade` and
    /// `not ok-to-stop`; `ceph osd ok-to-stop <id>`.
    ///
    /// # Fix
    /// Repair what the gate names: the health error, the OSDs that are down, a pool whose size is its min_size. Do not
    /// force it with `skipUpgradeChecks`: the gate is there because the next stop of a daemon would stop I/O.
    ///
    /// # References
    /// Rook: Upgrade/ceph-upgrade; pkg/operator/ceph/cluster/version.go and osd/update.go. Ceph: `osd ok-to-stop`.
    "IMG004" "upgrade-blocked" Img,
    needs: [Discovery, CephClusters, ClusterEvents, DaemonDeployments, OperatorPods, CephStatus, Logs],
    explained_by: [
        (opr::detect_version_failing, Cluster), (node::image_pull_failing, Cluster), (opr::operator_down, Cluster),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (osd::osd_down, Cluster),
        (ceph::pgs_unavailable, Cluster), (ceph::pgs_degraded, Cluster), (ceph::mds_down, Cluster),
        (ceph::health_code, Object), (ceph::pgs_damaged, Cluster), (osd::osd_capacity, Cluster),
        (mon::mon_disk_low, Cluster), (ceph::mgr_module_error, Cluster), (ceph::pool_unplaceable, Cluster),
    ],
}

/// What a gate is tried before it counts as shut.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// A reconcile that fails is tried again within this time.
const RETRY: SignedDuration = SignedDuration::from_mins(20);
/// Without a single OSD updated.
const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// What the operator writes of an OSD that it may not stop yet.
const REFUSALS: &[&str] =
    &["is not ok-to-stop. will try updating it again later", "PGs are not healthy to update OSDs"];
/// What it writes of one that it updates.
const STEPS: &[&str] = &["updating OSD", "creating OSD", "finished running OSDs"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("an external cluster is upgraded elsewhere"));
    }
    let (object, events) = both(facts.ceph_cluster(), facts.cluster_events().settled())?;
    let mut blind = Vec::new();
    let events = known(events, &mut blind).unwrap_or_default();
    let finding = match refused(facts, object, events)? {
        Some(finding) => Some(finding),
        None => held(facts, object)?,
    };
    Ok(Answered::judged(finding.into_iter().collect()).blind(blind))
}

/// Whether the image of the specification was not taken up yet.
fn is_pending(cluster: &CephCluster) -> bool {
    let detected = &cluster.status.version.image;
    !detected.is_empty() && *detected != cluster.spec.ceph_version.image
}

/// A reconcile that failed: its error, since when, and where that is said.
struct Failure<'s> {
    words: &'s str,
    since: Option<Timestamp>,
    evidence: Evidence,
}

/// What the condition and the newest event say of a reconcile that failed and is not over.
fn failures<'s>(facts: &Facts<'_>, cluster: &'s CephCluster, events: &'s [Event]) -> Vec<Failure<'s>> {
    let progressing = condition(&cluster.status.conditions, "Progressing");
    let failed = progressing.filter(|it| it.status == "False").map(|it| {
        let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
        let since = it.last_transition_time;
        let evidence = Evidence::field(&object, "status.conditions[Progressing]", &it.message).at(since);
        Failure { words: &it.message, since, evidence }
    });
    let about = events.iter().filter(|event| event.reason == "ReconcileFailed");
    let about = about.filter(|event| event.is_about("CephCluster", "", &cluster.metadata.name));
    let newest = about.max_by_key(|event| event.last_seen());
    let newest = newest.filter(|event| {
        !older(facts, event.last_seen(), RETRY) && !has_passed(cluster, progressing, event.last_seen())
    });
    let told = newest.map(|event| Failure {
        words: &event.message,
        since: event.first_seen(),
        evidence: Evidence::event(event),
    });
    failed.into_iter().chain(told).collect()
}

/// A failed reconcile whose error names a gate.
fn refused(facts: &Facts<'_>, cluster: &CephCluster, events: &[Event]) -> Result<Option<Finding>, Gap> {
    let failures = failures(facts, cluster, events);
    let shut = |gate: &&Gate| failures.iter().any(|failure| failure.words.contains(gate.says));
    let Some(gate) = GATES.iter().find(shut) else { return Ok(None) };
    let failures: Vec<Failure<'_>> = failures.into_iter().filter(|failure| failure.words.contains(gate.says)).collect();
    let asked = cluster.metadata.written_by(&["f:spec", "f:cephVersion", "f:image"]).and_then(|writer| writer.time);
    let asked = asked.filter(|_| is_pending(cluster));
    // The condition is made anew with each try.
    let since = failures.iter().map(|failure| failure.since).chain([asked]).flatten().min();
    // Only the first of the gates is one of upgrades alone.
    let is_upgrade =
        gate.name == "health" || is_pending(cluster) || !others(facts.daemon_deployments()?, cluster).is_empty();
    if !is_upgrade || !older(facts, since, PATIENCE) {
        return Ok(None);
    }
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let age = since.map_or_else(String::new, |at| ago(facts, at));
    let image = &cluster.spec.ceph_version.image;
    let summary = say!("the upgrade to {} is held for {}: {}", image, age, (gate.means)());
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let remedy = Remedy::guided(say!("{}; the operator tries again by itself", (gate.opens)()))
        .command(format!("kubectl -n {ns} get cephcluster {name} -o jsonpath='{{.status.conditions}}'"));
    let detected = Evidence::field(&object, "status.version.image", &cluster.status.version.image);
    let details = cluster.status.ceph.details.iter().filter(|_| gate.name == "health");
    let errors = details.filter(|(_, detail)| detail.severity == "HEALTH_ERR").take(4);
    let errors =
        errors.map(|(code, detail)| Evidence::field(&object, format!("status.ceph.details[{code}]"), &detail.message));
    let evidence = failures.into_iter().map(|failure| failure.evidence).chain([detected]);
    let evidence: Vec<Evidence> = evidence.chain(errors).collect();
    Ok(Some(Finding::warning(object, summary, remedy).detail(gate.name).since(since).evidence(evidence)))
}

/// Whether the operator came past the gates after this failure.
fn has_passed(cluster: &CephCluster, progressing: Option<&Condition>, failure: Option<Timestamp>) -> bool {
    let later = progressing.filter(|it| it.status == "True" && it.last_transition_time > failure);
    let at_daemons =
        later.is_some_and(|it| it.message.contains("Configuring Ceph") || it.message.contains("Processing"));
    at_daemons || (cluster.status.phase == "Ready" && !is_pending(cluster))
}

/// An update of OSDs that no OSD lets on.
fn held(facts: &Facts<'_>, cluster: &CephCluster) -> Result<Option<Finding>, Gap> {
    let progressing = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "True");
    let Some(stage) = progressing.filter(|_| cluster.status.phase == "Progressing") else { return Ok(None) };
    // The condition is made anew with each OSD that is updated.
    let since = stage.last_transition_time;
    if !stage.message.contains("OSD") || !older(facts, since, QUIET) {
        return Ok(None);
    }
    let Some((pod, log)) = operator_log(facts)? else { return Ok(None) };
    let moves = log.last_of(STEPS).and_then(|line| line.at).is_some_and(|at| !older(facts, Some(at), QUIET));
    let refusal = refusal(facts, log);
    let Some(refusal) = refusal.filter(|_| !moves) else { return Ok(None) };
    let lines = log.lines.iter().rev().filter(|line| REFUSALS.iter().any(|text| line.text.contains(text)));
    let osds: BTreeSet<u32> = lines.take(64).filter_map(osd_of).collect();
    let (status, rows) = both(facts.ceph_status(), facts.daemon_deployments())?;
    let old = others(rows, cluster).iter().filter(|other| other.kind == "osd").count();
    let severity = if recovers(status) { Severity::Info } else { Severity::Warning };
    let evidence = Evidence::log(&pod.ns, &pod.name, OPERATOR, refusal);
    let stage = Evidence::field(
        &ObjectRef::of::<CephCluster>(&cluster.metadata),
        "status.conditions[Progressing]",
        &stage.message,
    );
    let at = since.map_or_else(String::new, |at| ago(facts, at));
    let finding = waiting(facts.cluster()?, severity, &osds, old, &at).since(since);
    let finding = finding.evidence([evidence, stage.at(since)]).evidence(states(status));
    Ok(Some(Finding { objects: vec![operator_object(facts)?], ..finding }))
}

/// The newest word of the operator that it waits until OSDs may be stopped, if it still does.
pub(crate) fn refusal<'l>(facts: &Facts<'_>, log: &'l Log) -> Option<&'l LogLine> {
    log.last_of(REFUSALS).filter(|line| line.at.is_some() && !older(facts, line.at, PATIENCE))
}

/// `OSD 3 is not ok-to-stop. …`
fn osd_of(line: &LogLine) -> Option<u32> {
    let (before, _) = line.text.split_once(" is not ok-to-stop")?;
    before.rsplit_once("OSD ")?.1.parse().ok()
}

/// Whether data is on its way: then the next OSD only waits for that.
fn recovers(status: &Status) -> bool {
    let states = status.pgmap.pgs_by_state.iter().filter(|state| state.count > 0);
    states.flat_map(|state| state.state_name.split('+')).any(|word| word == "recovering" || word == "backfilling")
}

fn states(status: &Status) -> impl Iterator<Item = Evidence> + '_ {
    let states = status.pgmap.pgs_by_state.iter().filter(|state| state.state_name != "active+clean");
    states.take(4).map(|state| Evidence::ceph("status", format!("pgmap: {} {}", state.count, state.state_name)))
}

fn waiting(cluster: &Cluster, severity: Severity, osds: &BTreeSet<u32>, old: usize, age: &str) -> Finding {
    let names: Vec<String> = osds.iter().take(6).map(|id| format!("osd.{id}")).collect();
    let are_all = osds.len() == names.len();
    let names = names.join(", ");
    let summary = match (severity, names.as_str()) {
        (Severity::Info, _) => say!("the update of the OSDs waits for the recovery of data"),
        (_, "") => say!("the update of the OSDs stands for {}: placement groups are not healthy", age),
        (_, names) if are_all => say!("the update of the OSDs stands for {}: {} are not ok to stop", age, names),
        (_, names) => say!("the update of the OSDs stands for {}: {} and others are not ok to stop", age, names),
    };
    let behind = (old > 0).then(|| say!("{} OSDs still have another image", old));
    let summary = say!("{}", clauses([summary].into_iter().chain(behind)));
    let remedy = Remedy::guided(say!(
        "see which placement groups would become inactive, and repair their OSDs; a pool whose size is its min_size never lets one stop, and needs another copy first"
    ));
    let asked = osds.first().map(|id| ceph_command(cluster, &format!("osd ok-to-stop {id}")));
    let pools = ceph_command(cluster, "osd pool ls detail");
    let remedy = asked.into_iter().chain([pools]).fold(remedy, Remedy::command);
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy).detail("ok-to-stop")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_their_osd() {
        for (text, expected) in [
            (
                "2024-02-02 06:03:44.734064 I | op-osd: OSD 2 is not ok-to-stop. will try updating it again later",
                Some(2),
            ),
            ("op-osd: [rook-ceph] OSD 17 is not ok-to-stop. will try updating it again later", Some(17)),
            ("op-osd: updating OSD 1 on node \"w1\"", None),
        ] {
            assert_eq!(osd_of(&LogLine { at: None, text: text.to_owned() }), expected, "{text}");
        }
    }
}
