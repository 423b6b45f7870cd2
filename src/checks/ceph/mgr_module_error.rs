use std::collections::BTreeSet;

use super::{ceph_command, quoted, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::ceph::HealthCheck;
use crate::say;

check! {
    /// # What it looks at
    /// The health codes MGR_MODULE_ERROR (a module of the active mgr ended with an exception) and
    /// MGR_MODULE_DEPENDENCY (it cannot even be loaded), by module, and whether there is a standby mgr.
    ///
    /// # Why it matters
    /// Data is read and written all the same, but what the module does is not done: `volumes` makes the subvolumes
    /// of CephFS claims, `rbd_support` schedules, `pg_autoscaler` and `balancer` place, `prometheus` and `dashboard`
    /// show. MGR_MODULE_ERROR holds the cluster in HEALTH_ERR, which stops upgrades.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph mgr module ls`, and the log of the active mgr. On OpenShift the dashboard and
    /// monitoring need more than the module: the label `openshift.io/cluster-monitoring=true` on the namespace and
    /// the RoleBinding `rook-ceph-metrics`; not observable from here, run `oc get ns <ns> --show-labels`.
    ///
    /// # Fix
    /// Fail over to a standby mgr, which loads the module anew; if it fails there too, disable a module that nobody
    /// needs, or upgrade. `kubectl rookdoctor fix CEPH010` fails over for a module that ended with an exception, if there
    /// is a standby; one that cannot be loaded could not be there either. Those that are always on (`volumes`, `balancer` and the like) cannot be disabled. The module `rook` must be disabled before an upgrade to Tentacle.
    ///
    /// # References
    /// Ceph: health codes MGR_MODULE_ERROR, MGR_MODULE_DEPENDENCY. Rook: Upgrade/ceph-upgrade.
    "CEPH010" "mgr-module-error" Ceph,
    needs: [CephHealth, CephStatus],
    fix: fail_over_mgr,
    explained_by: [(ceph::mgr_down, Cluster)],
}

/// Modules that Ceph does not let anybody disable.
const ALWAYS_ON: &[&str] = &[
    "balancer",
    "crash",
    "devicehealth",
    "orchestrator",
    "pg_autoscaler",
    "progress",
    "rbd_support",
    "status",
    "telemetry",
    "volumes",
];

/// The code of a module that ended with an exception.
pub(crate) const FAILED: &str = "MGR_MODULE_ERROR";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (health, status) = both(facts.ceph_health(), facts.ceph_status())?;
    let (cluster, has_standby) = (facts.cluster()?, status.mgrmap.num_standbys > 0);
    let codes = raised(health, &[FAILED, "MGR_MODULE_DEPENDENCY"]);
    let findings = codes.into_iter().map(|(code, check)| finding(cluster, code, check, has_standby));
    Ok(Answered::judged(findings.collect()))
}

fn finding(cluster: &Cluster, code: &str, check: &HealthCheck, has_standby: bool) -> Finding {
    let modules: BTreeSet<&str> = check.details().filter_map(module).collect();
    let names = modules.iter().copied().collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { say!("a module") } else { say!("{}", names) };
    let summary = if code == FAILED {
        say!("mgr: {} failed: {}", names, check.summary.message)
    } else {
        say!("mgr: {} cannot be loaded: {}", names, check.summary.message)
    };
    let remedy = if has_standby && code == FAILED {
        let remedy = Remedy::guided(say!(
            "fail over to the standby mgr, which loads the module anew; disable a module that nobody needs"
        ))
        .command(ceph_command(cluster, "mgr fail"));
        if cluster.external { remedy } else { remedy.auto() }
    } else if has_standby {
        Remedy::guided(say!(
            "read why it cannot be loaded: a package or a setting that its image lacks comes with another release of Ceph; disable a module that nobody needs"
        ))
    } else {
        Remedy::guided(say!(
            "there is no standby mgr to fail over to: restart the one there is at a quiet time, or disable a module that nobody needs"
        ))
    };
    let optional = modules.iter().filter(|name| !ALWAYS_ON.contains(name)).take(3);
    let remedy = optional.fold(remedy.command(ceph_command(cluster, "mgr module ls")), |remedy, name| {
        remedy.command(ceph_command(cluster, &format!("mgr module disable {}", quoted(name))))
    });
    Finding::new(toned(check, Severity::Warning), ObjectRef::cluster(cluster), summary, remedy)
        .detail(code)
        .evidence([Evidence::ceph("health detail", format!("{code}: {}", check.summary.message))])
        .evidence(check.details().take(4).map(|detail| Evidence::ceph("health detail", detail)))
}

/// The name in `Module 'balancer' has failed dependency: …`
fn module(detail: &str) -> Option<&str> {
    let name = detail.strip_prefix("Module '")?.split('\'').next()?;
    (!name.is_empty()).then_some(name)
}
