use super::{Release, is_rolling, release, running, tag};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::quoted;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The image of the toolbox (Deployment `rook-ceph-tools` in the CephCluster's namespace) against the
    /// CephCluster's, and its release against that of the daemons. Nothing is said while an upgrade goes on, nor of a
    /// toolbox that is scaled to 0 or made from Rook's own image.
    ///
    /// # Why it matters
    /// Rook does not manage the toolbox: an upgrade of Ceph leaves it behind. A `ceph` that is a major release older
    /// than its cluster does not know newer commands and fields, and cannot log in at all where the keys are of a
    /// newer type (aes256k). Within one major release it is only untidy.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deploy rook-ceph-tools -o wide`, and in it `ceph --version` against `ceph versions`. What
    /// the toolbox job does is in `kubectl -n <ns> logs -l job-name=rook-ceph-toolbox-job`. After a rotation of the
    /// admin key a toolbox has the old one until it is restarted.
    ///
    /// # Fix
    /// Set the toolbox's image to the CephCluster's, where the toolbox is written (manifest or chart values).
    /// `kubectl rookdoctor fix IMG006` sets it in the cluster and waits for the new pod. Undo: the old image.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-toolbox; Upgrade/ceph-upgrade.
    "IMG006" "toolbox-stale" Img,
    needs: [Discovery, CephClusters, CsiDeployments, Objects],
    fix: update_toolbox,
    explained_by: [],
}

/// The name of the toolbox's Deployment and of its container.
pub(crate) const TOOLBOX: &str = "rook-ceph-tools";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, toolbox) = both(facts.ceph_cluster(), toolbox(facts))?;
    let Some(toolbox) = toolbox.filter(|toolbox| toolbox.spec.replicas != Some(0)) else {
        return Ok(Answered::NotApplicable("there is no toolbox"));
    };
    let containers = &toolbox.spec.template.spec.containers;
    let Some(used) = containers.iter().find(|it| it.name == TOOLBOX).map(|it| it.image.as_str()) else {
        return Ok(Answered::passed());
    };
    let wanted = &cluster.spec.ceph_version.image;
    let upgrades = is_rolling(cluster, facts.now()) || *wanted != cluster.status.version.image;
    // Rook's image holds some Ceph or other, which its tag does not tell.
    if used == wanted || used.contains("rook/ceph") || (upgrades && !facts.cluster()?.external) {
        return Ok(Answered::passed());
    }
    let is_old = is_a_major_older(tag(used).and_then(release), cluster);
    if wanted.is_empty() && !is_old {
        // An external cluster has no image of its own to compare with.
        return Ok(Answered::passed());
    }
    Ok(Answered::judged(vec![finding(cluster, toolbox, used, is_old)]))
}

fn toolbox<'s>(facts: &Facts<'s>) -> Result<Option<&'s Deployment>, Gap> {
    let cluster = facts.cluster()?;
    if cluster.ns != cluster.operator_ns {
        return facts.object::<Deployment>(&cluster.ns, TOOLBOX);
    }
    Ok(facts.csi_deployments()?.iter().find(|deployment| deployment.metadata.name == TOOLBOX))
}

/// Whether every daemon runs a later major release than the toolbox has.
fn is_a_major_older(toolbox: Option<Release>, cluster: &CephCluster) -> bool {
    let oldest = running(cluster).first().copied();
    toolbox.zip(oldest).is_some_and(|(toolbox, oldest)| toolbox.0 < oldest.0)
}

fn finding(cluster: &CephCluster, toolbox: &Deployment, used: &str, is_old: bool) -> Finding {
    let object = ObjectRef::of::<Deployment>(&toolbox.metadata);
    let wanted = &cluster.spec.ceph_version.image;
    let severity = if is_old { Severity::Warning } else { Severity::Info };
    let runs: Vec<String> = running(cluster).iter().map(|(a, b, c)| format!("{a}.{b}.{c}")).collect();
    let runs = runs.join(", ");
    let summary = if is_old {
        say!("the toolbox has {}, a major release older than the cluster's {}", used, runs)
    } else {
        say!("the toolbox has {} and the cluster {}", used, wanted)
    };
    let remedy = Remedy::guided(say!(
        "give the toolbox the image of the cluster, in the manifest or chart values that it comes from"
    ));
    let (ns, name) = (&object.namespace, &object.name);
    let remedy = if wanted.is_empty() {
        remedy
    } else {
        remedy
            .command(format!("kubectl -n {ns} set image deployment/{name} {TOOLBOX}={}", quoted(wanted)))
            .command(format!("kubectl -n {ns} rollout status deployment/{name} --timeout=5m"))
            .auto()
    };
    let cr = ObjectRef::of::<CephCluster>(&cluster.metadata);
    Finding::new(severity, object.clone(), summary, remedy).evidence([
        Evidence::field(&object, format!("image of {TOOLBOX}"), used),
        Evidence::field(&cr, "spec.cephVersion.image", wanted),
        Evidence::field(&cr, "status.ceph.versions.overall", runs),
    ])
}
