use super::meanings::{Meaning, meaning};
use super::{ceph_command, daemons, owner};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap};
use crate::objects::ceph::HealthCheck;
use crate::say;

check! {
    /// # What it looks at
    /// Every code of `ceph health detail` that no other check reports: its severity, its summary and details,
    /// what it means and what to do. Codes that this tool has never heard of are reported with Ceph's own
    /// words; nothing is dropped.
    ///
    /// # Why it matters
    /// Ceph's judgement counts, also where it is not about Rook. HEALTH_ERR is critical, except for insecure
    /// keys, which hold a cluster in HEALTH_ERR without any outage; HEALTH_WARN is a warning; muted codes and a
    /// few matters of taste are information. While a cluster is in HEALTH_ERR Rook does not reconcile pools,
    /// filesystems and object stores.
    ///
    /// # Confirm by hand
    /// `ceph health detail`.
    ///
    /// # Fix
    /// See the remedy of the code. What is accepted for now can be muted for a time: `ceph health mute <code> 1d`.
    ///
    /// # References
    /// Ceph: "Health checks", "CephFS health messages".
    "CEPH001" "health-code" Ceph,
    needs: [CephHealth],
    explained_by: [(osd::osd_slow_heartbeat, Daemon), (osd::osd_crashing, Daemon)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let health = facts.ceph_health()?;
    // These look only at daemons that run here; EXT005 tells of a provider's monitor that is down.
    let looks_here = |code: &str, owner: &str| (owner.starts_with("MON") && code != "MON_DOWN") || owner == "OSD013";
    let elsewhere = |code: &str, owner: &str| cluster.external && looks_here(code, owner);
    let is_left = |code: &str| owner(code).is_none_or(|owner| elsewhere(code, owner));
    let left = health.checks.iter().filter(|(code, _)| is_left(code));
    Ok(Answered::judged(left.map(|(code, check)| finding(cluster, code, check)).collect()))
}

fn finding(cluster: &Cluster, code: &str, check: &HealthCheck) -> Finding {
    let known = meaning(code);
    let message = check.summary.message.trim_end_matches('.');
    let summary = match &known {
        Some(known) => say!("{}: {}; {}", code, message, known.means),
        None => say!("{}: {}", code, message),
    };
    let remedy = match &known {
        Some(known) => Remedy::advice(known.remedy.clone()),
        None => Remedy::advice(say!("see what Ceph's documentation says about {}", code)),
    };
    let commands = known.as_ref().map_or(&["health detail"][..], |known| known.commands);
    let remedy = commands.iter().fold(remedy, |remedy, words| remedy.command(ceph_command(cluster, words)));
    Finding::new(severity(code, check, known.as_ref()), ObjectRef::cluster(cluster), summary, remedy)
        .detail(code)
        .at(check.details().chain([message]).flat_map(daemons).map(|(kind, id)| Place::daemon(kind, id)))
        .evidence([Evidence::ceph("health detail", format!("[{}] {code}: {message}", check.severity))])
        .evidence(check.details().take(5).map(|detail| Evidence::ceph("health detail", detail)))
}

fn severity(code: &str, check: &HealthCheck, known: Option<&Meaning>) -> Severity {
    let no_outage = code.starts_with("AUTH_INSECURE_");
    match check.severity.as_str() {
        _ if check.muted || known.is_some_and(|known| known.taste) => Severity::Info,
        "HEALTH_ERR" if !no_outage => Severity::Critical,
        _ => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_keys_are_no_outage() {
        let check = HealthCheck { severity: "HEALTH_ERR".into(), ..HealthCheck::default() };
        assert_eq!(severity("AUTH_INSECURE_SERVICE_KEY_TYPE", &check, None), Severity::Warning);
        assert_eq!(severity("POOL_FULL", &check, None), Severity::Critical);
        let muted = HealthCheck { muted: true, ..check };
        assert_eq!(severity("POOL_FULL", &muted, None), Severity::Info);
    }
}
