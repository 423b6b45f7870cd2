use jiff::SignedDuration;

use super::{DO_NOT_RECONCILE, ago, older};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::img::release;
use crate::facts::{Facts, Gap, Settled};
use crate::objects::kube::{Deployment, ManagedFields, Meta};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The label `ceph.rook.io/do-not-reconcile` on Deployments of daemons and on the CephCluster itself, where no
    /// maintenance gives a reason for it: neither a `*-maintenance` Deployment, nor zero replicas, nor the
    /// replacement of an OSD that Rook does itself (annotations `osd.rook.io/replace*`). The presence of the
    /// label counts, not its value; managedFields say who set it and when. In the first hour it is only mentioned.
    ///
    /// # Why it matters
    /// The operator leaves such a Deployment alone: it misses every upgrade and every change of settings. On one
    /// monitor it stops the health check of all monitors, so none fails over. On the CephCluster (Rook 1.18.9, 1.19
    /// and later) it stops the whole reconcile.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deploy,cephcluster -l ceph.rook.io/do-not-reconcile --show-managed-fields -o yaml`.
    ///
    /// # Fix
    /// Ask why it was set. Then take it away, one daemon at a time with clean PGs between them; the operator
    /// brings the Deployment up to date. A hand-edited image is put back to the CephCluster's by that.
    /// `kubectl rookdoctor fix OPR006` takes it away where the image is the CephCluster's and nothing newer runs; for
    /// the CephCluster itself only where no change of its spec waits. Undo: the label with its old value.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues and the kubectl plugin's `maintenance`; rook pull request 16874. Pages
    /// that say `debug start` for it are older than that command.
    "OPR006" "do-not-reconcile-left" Opr,
    needs: [Discovery, CephClusters, MarkedDeployments],
    fix: reconcile_again,
    explained_by: [],
}

const FRESH: SignedDuration = SignedDuration::from_mins(60);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let mut findings: Vec<Finding> = on_cluster(facts, cluster).into_iter().collect();
    match facts.marked_deployments().settled()? {
        Ok(marked) => {
            let left = marked.iter().filter(|deployment| !has_reason(deployment, marked));
            findings.extend(left.map(|deployment| on_deployment(facts, deployment, cluster)));
            Ok(Answered::judged(findings))
        }
        Err(unknown) => Ok(Answered::judged(findings).blind([unknown])),
    }
}

fn has_reason(deployment: &Deployment, marked: &[Deployment]) -> bool {
    let name = &deployment.metadata.name;
    let stands_in = format!("{name}-maintenance");
    name.ends_with("-maintenance")
        || deployment.spec.replicas == Some(0)
        || deployment.metadata.annotations.keys().any(|key| key.starts_with("osd.rook.io/replace"))
        || marked.iter().any(|other| other.metadata.name == stands_in)
}

fn on_deployment(facts: &Facts<'_>, deployment: &Deployment, cluster: &CephCluster) -> Finding {
    let (meta, image) = (&deployment.metadata, &cluster.spec.ceph_version.image);
    let object = ObjectRef::of::<Deployment>(meta);
    let freezes = match meta.labels.get("app").map(String::as_str) {
        Some("rook-ceph-mon") => say!("it is not updated, and no monitor at all is watched or failed over"),
        Some("rook-ceph-osd") => say!("this OSD is not updated"),
        _ => say!("it is not updated"),
    };
    let used = image_of(deployment);
    let differs = !image.is_empty() && used != image;
    let summary = say!(
        "the operator leaves {} alone ({} {}), with no maintenance going on: {}",
        meta.name,
        DO_NOT_RECONCILE,
        set_by(facts, meta),
        freezes
    );
    let remedy = if differs {
        say!(
            "ask why it runs {} and whether {} has what that was for; then take the label away, one daemon at a time with clean PGs between them; the operator then updates it to the CephCluster's image",
            used,
            image
        )
    } else {
        say!(
            "take the label away, one daemon at a time with clean PGs between them; the operator then updates it to the CephCluster's image"
        )
    };
    let remedy = Remedy::guided(remedy)
        .command(format!("kubectl -n {} label deploy {} {DO_NOT_RECONCILE}-", meta.namespace, meta.name));
    let may = !differs && !image.is_empty() && runs_newer(deployment, cluster).is_none();
    let remedy = if may { remedy.auto() } else { remedy };
    let kind = meta.labels.get("ceph_daemon_type").zip(meta.labels.get("ceph_daemon_id"));
    let image = differs.then(|| Evidence::field(&object, "spec.template.spec.containers[0].image", used));
    Finding::new(severity(facts, meta), object.clone(), summary, remedy)
        .since(writer(meta).and_then(|writer| writer.time))
        .at(kind.map(|(kind, id)| Place::daemon(kind, id)))
        .evidence([evidence(meta, &object)])
        .evidence(image)
}

/// The image of the daemon itself.
pub(crate) fn image_of(deployment: &Deployment) -> &str {
    deployment.spec.template.spec.containers.first().map_or("", |container| container.image.as_str())
}

/// The release that runs, if it is a later one than the CephCluster asks for: the operator would go back.
pub(crate) fn runs_newer<'d>(deployment: &'d Deployment, cluster: &CephCluster) -> Option<&'d str> {
    let runs = deployment.metadata.labels.get("ceph-version")?;
    (release(runs)? > release(&cluster.status.version.version)?).then_some(runs)
}

/// What an operator that reconciles again will change beside what is at hand; none if nothing waits.
pub(crate) fn waits(cluster: &CephCluster) -> Option<Text> {
    let (wanted, found) = (&cluster.spec.ceph_version.image, &cluster.status.version.image);
    if wanted != found {
        return Some(say!(
            "the CephCluster asks for {} and has {}: the operator will go on to change the version",
            wanted,
            found
        ));
    }
    let (wanted, observed) = (cluster.metadata.generation, cluster.status.observed_generation);
    match observed {
        Some(observed) if observed >= wanted => None,
        Some(observed) => Some(say!(
            "the CephCluster is at generation {} and the operator last took {}: all changes in between will take effect at once",
            wanted,
            observed
        )),
        None => Some(say!("which generation of the CephCluster the operator last took is not known: changes may wait")),
    }
}

fn on_cluster(facts: &Facts<'_>, cluster: &CephCluster) -> Option<Finding> {
    let meta = &cluster.metadata;
    meta.labels.get(DO_NOT_RECONCILE)?;
    let object = ObjectRef::of::<CephCluster>(meta);
    let summary = say!(
        "the operator does not reconcile the CephCluster {} ({} {}): no change of its spec takes effect, from Rook 1.18.9 on",
        meta.name,
        DO_NOT_RECONCILE,
        set_by(facts, meta)
    );
    let remedy = Remedy::guided(say!("ask why it was set, then take the label away"))
        .command(format!("kubectl -n {} label cephcluster {} {DO_NOT_RECONCILE}-", meta.namespace, meta.name));
    let remedy = if waits(cluster).is_none() { remedy.auto() } else { remedy };
    let since = writer(meta).and_then(|writer| writer.time);
    Some(
        Finding::new(severity(facts, meta), object.clone(), summary, remedy)
            .since(since)
            .evidence([evidence(meta, &object)]),
    )
}

fn writer(meta: &Meta) -> Option<&ManagedFields> {
    meta.written_by(&["f:metadata", "f:labels", "f:ceph.rook.io/do-not-reconcile"])
}

fn severity(facts: &Facts<'_>, meta: &Meta) -> Severity {
    let since = writer(meta).and_then(|writer| writer.time);
    let fresh = since.is_some() && !older(facts, since, FRESH);
    if fresh { Severity::Info } else { Severity::Warning }
}

fn set_by(facts: &Facts<'_>, meta: &Meta) -> Text {
    match writer(meta).map(|writer| (&writer.manager, writer.time)) {
        Some((who, Some(at))) => say!("set by {} {} ago", who, ago(facts, at)),
        Some((who, None)) => say!("set by {}", who),
        None => say!("set by an unknown hand"),
    }
}

fn evidence(meta: &Meta, object: &ObjectRef) -> Evidence {
    let value = meta.labels.get(DO_NOT_RECONCILE).map_or("", String::as_str);
    let field = format!("metadata.labels[{DO_NOT_RECONCILE}]");
    match writer(meta) {
        Some(writer) => {
            Evidence::field(object, field, format!("{value}, managedFields: {}", writer.manager)).at(writer.time)
        }
        None => Evidence::field(object, field, value),
    }
}
