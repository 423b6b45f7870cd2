use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{ceph_command, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Facts, Gap};
use crate::say;

check! {
    /// # What it looks at
    /// The health codes RECENT_CRASH and RECENT_MGR_MODULE_CRASH: crash reports of the last two weeks that nobody has
    /// archived, by daemon, and when the newest was written.
    ///
    /// # Why it matters
    /// A crash within the last day may be happening still. An older one of a daemon that has been well since is only
    /// a reminder, and keeps the cluster in HEALTH_WARN until somebody archives it: that is information.
    ///
    /// # Confirm by hand
    /// `ceph crash ls-new`, `ceph crash info <id>`.
    ///
    /// # Fix
    /// Read the report (its `backtrace` and `assert_msg`), search Ceph's tracker for the assertion, then archive it.
    /// `kubectl rookdoctor fix CEPH013` archives the reports of one daemon, if the last crash is a day old, or an hour
    /// and the daemon is well. An archived report cannot be made new again; it stays readable for a year.
    ///
    /// # References
    /// Ceph: health code RECENT_CRASH, "Crash Module" (`mgr/crash/warn_recent_interval`, two weeks).
    "CEPH013" "recent-crash" Ceph,
    needs: [CephHealth],
    fix: archive_crashes,
    explained_by: [(osd::osd_crashing, Daemon), (osd::osd_down, Daemon), (mon::mon_not_running, Daemon), (ceph::mgr_down, Daemon)],
    in_pod,
}

/// So old a crash is no longer news.
pub(crate) const FRESH: SignedDuration = SignedDuration::from_hours(24);
/// After so long a daemon that is well has got over it.
pub(crate) const SETTLED: SignedDuration = SignedDuration::from_hours(1);
/// The code for modules of the mgr, whose reports name the module.
pub(crate) const MODULES: &str = "RECENT_MGR_MODULE_CRASH";
/// Ceph's word for whoever left a report without a name.
pub(crate) const UNIDENTIFIED: &str = "unidentified daemon";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, health) = (facts.cluster()?, facts.ceph_health()?);
    let codes = raised(health, &["RECENT_CRASH", MODULES]);
    let mut findings = Vec::new();
    for (code, check) in codes {
        let mut daemons: BTreeMap<&str, Vec<Crash<'_>>> = BTreeMap::new();
        for crash in check.details().filter_map(Crash::of) {
            daemons.entry(crash.daemon).or_default().push(crash);
        }
        let remedy = || {
            Remedy::guided(say!("read the report and archive it once it is understood"))
                .command(ceph_command(cluster, "crash ls-new"))
                .command(ceph_command(cluster, "crash archive-all"))
        };
        let object = ObjectRef::cluster(cluster);
        if daemons.is_empty() {
            // Who crashed, and when, is not told: it counts as news.
            let summary = say!("{}", check.summary.message);
            let finding = Finding::new(toned(check, Severity::Warning), object.clone(), summary, remedy()).detail(code);
            findings.push(finding.evidence([Evidence::ceph("health detail", &check.summary.message)]));
        }
        for (daemon, crashes) in daemons {
            let last = crashes.iter().filter_map(|crash| crash.at).max();
            // A report without a time counts as news.
            let old = crashes.iter().all(|crash| crash.at.is_some_and(|at| facts.now().duration_since(at) > FRESH));
            let severity = toned(check, if old { Severity::Info } else { Severity::Warning });
            let of_module = crashes.first().is_some_and(|crash| crash.module.is_some());
            let who = if of_module { say!("{} (modules)", daemon) } else { say!("{}", daemon) };
            let summary = if crashes.len() == 1 {
                say!("{} crashed, and nobody has looked at the report", who)
            } else {
                say!("{} crashed {} times, and nobody has looked at the reports", who, crashes.len())
            };
            let quotes = crashes.iter().rev().take(3).map(|it| Evidence::ceph("health detail", it.text).at(it.at));
            let settled = last.is_some_and(|at| facts.now().duration_since(at) > SETTLED);
            let timed = crashes.iter().all(|crash| crash.at.is_some());
            let may = !cluster.external && timed && settled && (old || tells_if_well(daemon));
            let remedy = if may { remedy().auto() } else { remedy() };
            let finding = Finding::new(severity, object.clone(), summary, remedy).detail(format!("{code} {daemon}"));
            let place = (daemon != UNIDENTIFIED).then(|| Place::Daemon(daemon.to_owned()));
            findings.push(finding.at(place).since(last).evidence(quotes));
        }
    }
    Ok(Answered::judged(findings))
}

/// Whether it can be asked if this daemon is well.
fn tells_if_well(daemon: &str) -> bool {
    daemon.split_once('.').is_some_and(|(kind, _)| ["osd", "mon", "mgr", "mds"].contains(&kind))
}

/// `osd.3 crashed on host node-a at 2026-11-21T20:12:38.715393Z`, or
/// `mgr module volumes crashed in daemon mgr.a on host node-a at …`
pub(crate) struct Crash<'h> {
    pub daemon: &'h str,
    module: Option<&'h str>,
    pub at: Option<Timestamp>,
    pub text: &'h str,
}

impl<'h> Crash<'h> {
    pub fn of(text: &'h str) -> Option<Self> {
        let (who, rest) = text.split_once(" crashed ")?;
        let module = who.strip_prefix("mgr module ");
        let daemon = match module {
            Some(_) => rest.strip_prefix("in daemon ")?.split_whitespace().next()?,
            None => who,
        };
        let at = text.rsplit_once(" at ").and_then(|(_, at)| at.parse().ok());
        (!daemon.contains(' ') || daemon == UNIDENTIFIED).then_some(Self { daemon, module, at, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_tells_who_and_when() {
        let crash = Crash::of("osd.3 crashed on host node-a at 2026-11-21T20:12:38.715393Z").unwrap();
        assert_eq!((crash.daemon, crash.module), ("osd.3", None));
        assert!(crash.at.is_some());
        let module = "mgr module volumes crashed in daemon mgr.a on host node-a at 2026-11-21T19:16:50.591765Z";
        let crash = Crash::of(module).unwrap();
        assert_eq!((crash.daemon, crash.module), ("mgr.a", Some("volumes")));
        let nameless =
            Crash::of("unidentified daemon crashed on host (unknown) at 2026-11-21T20:12:38.715393Z").unwrap();
        assert_eq!(nameless.daemon, UNIDENTIFIED);
        assert!(Crash::of("1 daemons have recently crashed").is_none());
    }
}
