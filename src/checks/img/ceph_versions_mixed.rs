use std::collections::{BTreeMap, BTreeSet};

use super::{Other, is_rolling, others};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::ceph::is_muted;
use crate::facts::{Facts, Gap, Settled, both, kinds, known};
use crate::lang::clauses;
use crate::objects::ceph::{HealthCheck, Versions, version_number};
use crate::say;

check! {
    /// # What it looks at
    /// `ceph versions` and the health code DAEMON_OLD_VERSION: more than one version, while the operator rolls
    /// nothing out. The Deployments say which daemons differ from the CephCluster's image. Of an external
    /// cluster only the health code counts, which Ceph raises after seven days.
    ///
    /// # Why it matters
    /// Mixed versions are meant to last for the hours of an upgrade. With two old versions Ceph goes to
    /// HEALTH_ERR, and Rook then reconciles no pool, filesystem or object store. Ceph itself warns only after
    /// seven days.
    ///
    /// # Confirm by hand
    /// `ceph versions`; `kubectl -n <ns> get deployments -l rook_cluster=<ns> -L ceph-version -o wide`.
    ///
    /// # Fix
    /// Remove what keeps the daemons back: the label `ceph.rook.io/do-not-reconcile`, an image edited by hand,
    /// OSDs that are not ok to stop. The operator then finishes the upgrade. Do not silence the code with
    /// `skipUpgradeChecks`.
    ///
    /// # References
    /// Ceph: health code DAEMON_OLD_VERSION, `mon_warn_older_version_delay`. Rook: "Ceph Upgrades".
    "IMG001" "ceph-versions-mixed" Img,
    needs: [Discovery, CephClusters, CephVersions, CephHealth, DaemonDeployments],
    explained_by: [
        (node::image_pull_failing, Cluster),
        (opr::operator_down, Cluster),
        (opr::reconcile_stalled, Cluster),
        (opr::do_not_reconcile_left, Object),
        (img::image_overridden, Object),
        (img::upgrade_blocked, Cluster),
        (img::moving_tag, Cluster),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (object, (versions, health)) = both(facts.ceph_cluster(), both(facts.ceph_versions(), facts.ceph_health()))?;
    let old = health.checks.get("DAEMON_OLD_VERSION");
    let mixed = numbers(versions).len() > 1 && !cluster.external;
    let rolls = is_rolling(object, facts.now());
    // A code that Ceph raises is never dropped; while an upgrade goes on it is information.
    if old.is_none() && (!mixed || rolls) {
        return Ok(Answered::passed());
    }
    let mut blind = Vec::new();
    let rows = known(facts.daemon_deployments().settled()?, &mut blind).unwrap_or_default();
    let muted = is_muted(health, "DAEMON_OLD_VERSION");
    let severity = match old {
        _ if muted || rolls => Severity::Info,
        Some(old) if old.severity == "HEALTH_ERR" => Severity::Critical,
        _ => Severity::Warning,
    };
    let behind = others(rows, object);
    let named = named(old);
    let who = who(&behind, &named);
    let summary = if rolls {
        say!("daemons run {} while the operator upgrades them", counts(versions))
    } else {
        say!("daemons run {} and no upgrade is going on", counts(versions))
    };
    let summary = say!("{}", clauses([summary].into_iter().chain(who)));
    let ns = &cluster.ns;
    let remedy = Remedy::guided(say!(
        "remove what keeps these daemons back (a do-not-reconcile label, an image edited by hand, OSDs that are not ok to stop), one at a time with clean placement groups between them"
    ))
    .command(format!("kubectl -n {ns} get deployments -l rook_cluster={ns} -L ceph-version,ceph.rook.io/do-not-reconcile"));
    let places = behind.iter().map(|other| Place::daemon(other.kind, other.id));
    let finding = Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .also(behind.iter().map(|other| ObjectRef::new(kinds::DEPLOYMENT, ns, other.deployment)))
        .at(places.chain(named.iter().map(|name| Place::Daemon(name.clone()))))
        .evidence(by_kind(versions).map(|line| Evidence::ceph("versions", line)))
        .evidence(
            old.into_iter().flat_map(HealthCheck::details).take(6).map(|line| Evidence::ceph("health detail", line)),
        )
        .evidence(behind.iter().take(6).map(|other| {
            Evidence::field(
                &ObjectRef::new(kinds::DEPLOYMENT, ns, other.deployment),
                format!("image of {}", other.kind),
                other.image,
            )
        }));
    Ok(Answered::judged(vec![finding]).blind(blind))
}

fn numbers(versions: &Versions) -> BTreeMap<&str, u32> {
    let mut numbers = BTreeMap::new();
    for (text, count) in versions.0.get("overall").into_iter().flatten() {
        let number: &mut u32 = numbers.entry(version_number(text)).or_default();
        *number = number.saturating_add(*count);
    }
    numbers
}

/// `osd: 19.2.1 (1), 19.2.3 (28)` of each type of daemon.
fn by_kind(versions: &Versions) -> impl Iterator<Item = String> {
    versions.0.iter().filter(|(kind, texts)| *kind != "overall" && !texts.is_empty()).map(|(kind, texts)| {
        let counts = texts.iter().map(|(text, count)| format!("{} ({count})", version_number(text)));
        format!("{kind}: {}", counts.collect::<Vec<_>>().join(", "))
    })
}

/// `19.2.1 (1), 19.2.3 (28)`
fn counts(versions: &Versions) -> String {
    let counts = numbers(versions).into_iter().map(|(version, count)| format!("{version} ({count})"));
    counts.collect::<Vec<_>>().join(", ")
}

/// The daemons that Ceph names: `osd.7 osd.9 are running an older version of ceph: 19.2.1`.
fn named(old: Option<&HealthCheck>) -> BTreeSet<String> {
    let lines = old.into_iter().flat_map(HealthCheck::details);
    let lists = lines.filter_map(|line| Some(line.split_once(" running an older version")?.0));
    lists.flat_map(str::split_whitespace).filter(|word| word.contains('.')).map(str::to_owned).collect()
}

fn who(behind: &[Other<'_>], named: &BTreeSet<String>) -> Option<Text> {
    let mut names: BTreeSet<String> = behind.iter().map(|other| format!("{}.{}", other.kind, other.id)).collect();
    names.extend(named.iter().cloned());
    let more = names.len().saturating_sub(8);
    let list = names.into_iter().take(8).collect::<Vec<_>>().join(", ");
    match (list.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(say!("{} stay behind", list)),
        (false, more) => Some(say!("{} and {} more stay behind", list, more)),
    }
}
