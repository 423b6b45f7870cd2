use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::others;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::ceph_command;
use crate::checks::opr::{OPERATOR, ago, older, operator_log, operator_object};
use crate::facts::{Cluster, Facts, Gap, Log, LogLine, Settled, both};
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
        (ceph::health_code, Object),
    ],
}

/// What a gate is tried before it counts as shut.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// A reconcile that fails is tried again within this time.
const RETRY: SignedDuration = SignedDuration::from_mins(20);
/// Without a single OSD updated.
const QUIET: SignedDuration = SignedDuration::from_mins(30);

/// A gate before the first daemon, by a part of the error: its name, what it is, and what opens it.
const GATES: &[(&str, &str, &str, &str)] = &[
    (
        "refusing to upgrade",
        "health",
        "Ceph is in HEALTH_ERR, and Rook upgrades no such cluster",
        "repair what is HEALTH_ERR; do not set skipUpgradeChecks instead",
    ),
    (
        "does not meet the minimum version",
        "version",
        "this release of Rook does not run a Ceph so old",
        "set an image of a release that this Rook supports",
    ),
    (
        "allowUnsupported must be set",
        "version",
        "this release of Rook does not know this Ceph",
        "set an image of a release that this Rook supports, or upgrade Rook first",
    ),
    (
        "ceph version job",
        "image",
        "the version of the new image could not be read",
        "see why the job rook-ceph-detect-version does not end: image, placement or network",
    ),
    (
        "waiting for monitors to reach quorum",
        "quorum",
        "the monitors do not reach a quorum",
        "bring the monitors back first",
    ),
];

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
    let (events, blind) = match events {
        Ok(events) => (events, None),
        Err(unknown) => (&[][..], Some(unknown)),
    };
    let finding = match refused(facts, object, events) {
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

/// A failed reconcile whose error names a gate.
fn refused(facts: &Facts<'_>, cluster: &CephCluster, events: &[Event]) -> Option<Finding> {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let progressing = condition(&cluster.status.conditions, "Progressing");
    let failed = progressing.filter(|it| it.status == "False");
    let failed = failed.map(|it| {
        let evidence = Evidence::field(&object, "status.conditions[Progressing]", &it.message);
        (it.message.as_str(), it.last_transition_time, evidence.at(it.last_transition_time))
    });
    let told = || {
        let about = events.iter().filter(|event| event.reason == "ReconcileFailed");
        let about = about.filter(|event| event.is_about("CephCluster", "", &cluster.metadata.name));
        let event = about.max_by_key(|event| event.last_seen())?;
        let is_over = older(facts, event.last_seen(), RETRY) || has_passed(cluster, progressing, event.last_seen());
        (!is_over).then(|| (event.message.as_str(), event.first_seen(), Evidence::event(event)))
    };
    let (words, since, evidence) = failed.or_else(told)?;
    let (_, name, gate, open) = GATES.iter().find(|(text, ..)| words.contains(text))?;
    let asked = cluster.metadata.written_by(&["f:spec", "f:cephVersion", "f:image"]).and_then(|writer| writer.time);
    let asked = asked.filter(|_| is_pending(cluster));
    let since = [since, asked].into_iter().flatten().min();
    if !older(facts, since, PATIENCE) {
        return None;
    }
    let age = since.map_or_else(String::new, |at| ago(facts, at));
    let image = &cluster.spec.ceph_version.image;
    let summary = say!("the operator does not begin the upgrade to {} for {}: {}", image, age, gate);
    let (ns, name_of) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let remedy = Remedy::guided(say!("{}; the operator tries again by itself", open))
        .command(format!("kubectl -n {ns} get cephcluster {name_of} -o jsonpath='{{.status.conditions}}'"));
    let detected = Evidence::field(&object, "status.version.image", &cluster.status.version.image);
    let errors = cluster.status.ceph.details.iter().filter(|(_, detail)| detail.severity == "HEALTH_ERR");
    let errors = errors
        .filter(|_| *name == "health")
        .take(4)
        .map(|(code, detail)| Evidence::field(&object, format!("status.ceph.details[{code}]"), &detail.message));
    let errors: Vec<Evidence> = errors.collect();
    let finding = Finding::warning(object, summary, remedy).detail(*name).since(since);
    Some(finding.evidence([evidence, detected]).evidence(errors))
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
    let more = if osds.len() > names.len() { " and others" } else { "" };
    let names = names.join(", ");
    let behind = if old > 0 { format!("; {old} OSDs still have another image") } else { String::new() };
    let summary = match (severity, names.as_str()) {
        (Severity::Info, _) => say!("the update of the OSDs waits for the recovery of data{}", behind),
        (_, "") => say!("the update of the OSDs stands for {}: placement groups are not healthy{}", age, behind),
        (_, names) => {
            say!("the update of the OSDs stands for {}: {}{} are not ok to stop{}", age, names, more, behind)
        }
    };
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
