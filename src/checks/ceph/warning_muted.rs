use super::{ceph_command, insecure_auth};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::facts::{Facts, Gap};
use crate::lang::clauses;
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
    let told: Vec<Text> = health.mutes.iter().map(|mute| told(mute, health)).collect();
    let summary = if health.mutes.iter().any(|mute| hides_an_error(mute, health)) {
        say!("muted health codes hide what is broken now: {}", clauses(&told))
    } else {
        say!("health codes are muted: {}", clauses(&told))
    };
    let remedy = Remedy::advice(say!("take back what is no longer meant"));
    let plain =
        |mute: &&Mute| mute.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let remedy =
        health.mutes.iter().filter(plain).take(4).fold(remedy, |remedy, mute| {
            remedy.command(ceph_command(cluster, &format!("health unmute {}", mute.code)))
        });
    let finding = Finding::info(ObjectRef::cluster(cluster), summary, remedy)
        .evidence(told.iter().map(|told| Evidence::ceph("health detail", told.english())));
    Ok(Answered::judged(vec![finding]))
}

/// `OSD_DOWN (sticky, raised now: 1 osds down)`
fn told(mute: &Mute, health: &Health) -> Text {
    let how = match (mute.ttl.is_empty(), mute.sticky) {
        (true, false) => say!("without end"),
        (true, true) => say!("without end, sticky"),
        (false, false) => say!("until {}", mute.ttl),
        (false, true) => say!("until {}, sticky", mute.ttl),
    };
    match health.checks.get(&mute.code) {
        Some(check) => {
            let message = &check.summary.message;
            say!("{} ({}, raised now as {}: {})", mute.code, how, check.severity, message)
        }
        None => say!("{} ({}, not raised now)", mute.code, how),
    }
}

/// Reads or writes hang or fail, though Ceph calls it a warning.
const BROKEN: &[&str] = &["PG_AVAILABILITY", "OBJECT_UNFOUND", "POOL_FULL"];

fn hides_an_error(mute: &Mute, health: &Health) -> bool {
    let Some(check) = health.checks.get(&mute.code).filter(|check| check.muted) else { return false };
    // Insecure keys are no outage, in whatever state they hold the cluster.
    let is_error = check.severity == "HEALTH_ERR" && !insecure_auth::is_owned(&mute.code);
    is_error || BROKEN.contains(&mute.code.as_str())
}
