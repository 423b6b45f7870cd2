use super::ceph_command;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap};
use crate::objects::ceph::{Health, Mute};
use crate::say;

check! {
    /// # What it looks at
    /// The mutes of `ceph health detail`: which codes, until when, whether they are sticky, and whether the code is
    /// raised right now.
    ///
    /// # Why it matters
    /// A muted code does not count: the cluster says HEALTH_OK, whatever is behind it. That is somebody's decision,
    /// so it is information; but who looks for a fault should know what the colour hides. A mute that is not sticky
    /// ends by itself when the code clears or becomes worse; Rook sets sticky ones by
    /// `spec.healthCheck.muteHealthWarning`.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, the lines with (MUTED).
    ///
    /// # Fix
    /// `ceph health unmute <code>`, or take it out of the CephCluster if it is there.
    ///
    /// # References
    /// Ceph: "Muting Health Checks". Rook: CRDs/Cluster, `healthCheck`.
    "CEPH015" "warning-muted" Ceph,
    needs: [CephHealth],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, health) = (facts.cluster()?, facts.ceph_health()?);
    if health.mutes.is_empty() {
        return Ok(Answered::passed());
    }
    let told: Vec<String> = health.mutes.iter().map(|mute| told(mute, health)).collect();
    let errors = health.mutes.iter().filter(|mute| hides_an_error(mute, health)).count();
    let summary = if errors > 0 {
        say!("muted health codes hide an error: {}", told.join("; "))
    } else {
        say!("health codes are muted: {}", told.join("; "))
    };
    let remedy = Remedy::advice(say!("take back what is no longer meant"));
    let plain =
        |mute: &&Mute| mute.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let remedy =
        health.mutes.iter().filter(plain).take(4).fold(remedy, |remedy, mute| {
            remedy.command(ceph_command(cluster, &format!("health unmute {}", mute.code)))
        });
    let finding = Finding::info(ObjectRef::cluster(cluster), summary, remedy)
        .evidence(told.iter().map(|told| Evidence::ceph("health detail", told)));
    Ok(Answered::judged(vec![finding]))
}

/// `OSD_DOWN (sticky, raised now: 1 osds down)`
fn told(mute: &Mute, health: &Health) -> String {
    let until = if mute.ttl.is_empty() { "without end".to_owned() } else { format!("until {}", mute.ttl) };
    let sticky = if mute.sticky { ", sticky" } else { "" };
    let now = health.checks.get(&mute.code).map_or_else(
        || ", not raised now".to_owned(),
        |check| format!(", raised now as {}: {}", check.severity, check.summary.message),
    );
    format!("{} ({until}{sticky}{now})", mute.code)
}

fn hides_an_error(mute: &Mute, health: &Health) -> bool {
    health.checks.get(&mute.code).is_some_and(|check| check.muted && check.severity == "HEALTH_ERR")
}
