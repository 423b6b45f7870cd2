use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::is_refusal;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::checks::csi::errors::Cause;
use crate::checks::csi::{Version, ceph_classes, class_objects, driver_object, rook_version};
use crate::facts::{Facts, Gap, Settled, Unknown, Why, both};
use crate::objects::kube::{Event, StorageClass};
use crate::objects::rook::CephCluster;
use crate::say;

/// The provisioner tries again every few minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);

check! {
    /// # What it looks at
    /// Of an external cluster: whether Ceph refuses the operator's user, in the answer of `ceph status` and in
    /// `status.ceph.details.error` alike; and ProvisioningFailed events of the last fifteen minutes, of claims
    /// that are Pending, in which Ceph refuses CSI's user (`rados: ret=-13`, `ret=-1`). No Secret is read. A wrong
    /// `fsid` in Secret `rook-ceph-mon` looks like a refused key and is only seen by comparing it.
    ///
    /// # Why it matters
    /// The keys are copies. They grow stale when the provider rotates them, makes its cluster anew, or when an
    /// upgrade of Rook asks for capabilities that its users have not: the provider must then run the script
    /// with `--upgrade`. With Rook 1.18.0 and 1.18.1 a second run of the import wrote the key of the CephFS user
    /// into the Secrets of RBD.
    ///
    /// # Confirm by hand
    /// At the provider `ceph auth ls | grep -A4 -e client.healthchecker -e client.csi`, and compare with
    /// `kubectl -n <ns> get secret rook-csi-rbd-node -o jsonpath='{.data.userID}' | base64 -d`.
    ///
    /// # Fix
    /// At the provider run `create-external-cluster-resources.py` of the installed Rook release again, with the
    /// same flags (ConfigMap `external-cluster-user-command`) and `--upgrade`; then import what it prints.
    ///
    /// # References
    /// Rook: CRDs/Cluster/external-cluster, Upgrade; rook release notes 1.18.2 (import script).
    "EXT003" "external-credentials-wrong" Ext,
    needs: [Discovery, CephClusters, CephStatus, ProvisionEvents, Claims, StorageClasses, Operators],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if !cluster.spec.external.enable {
        return Ok(Answered::NotApplicable("the cluster is not external"));
    }
    let ((events, claims), (classes, version)) =
        both(both(facts.provision_events(), facts.claims()), both(ceph_classes(facts), rook_version(facts)))?;
    let mut blind = Vec::new();
    let mut findings = Vec::new();
    match facts.ceph_status().settled()? {
        Ok(_) => {}
        Err(unknown) => {
            let error = cluster.status.ceph.details.get("error").map(|error| error.message.as_str());
            match error.filter(|error| is_refusal(error) && refuses(&unknown)) {
                Some(error) => findings.push(operator_refused(cluster, error, Evidence::unknown(&unknown))),
                None => blind.push(unknown),
            }
        }
    }
    let is_current = |event: &&Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let waits =
        |event: &&Event| claims.iter().any(|row| row.name == event.involved_object.name && row.status == "Pending");
    let refused = events.iter().filter(is_current).filter(waits);
    let mut by_class: BTreeMap<&str, (&StorageClass, &Event)> = BTreeMap::new();
    for event in refused.filter(|event| Cause::of(&event.message) == Cause::Denied) {
        let name = event.message.split_once("StorageClass \"").and_then(|(_, rest)| rest.split_once('"'));
        if let Some(class) = name.and_then(|(name, _)| classes.get(name)) {
            by_class.insert(&class.metadata.name, (class, event));
        }
    }
    findings.extend(by_class.values().map(|(class, event)| csi_refused(class, event, version)));
    Ok(Answered::judged(findings).blind(blind))
}

/// The command ran, and Ceph refused its user.
fn refuses(unknown: &Unknown) -> bool {
    matches!(&unknown.why, Why::Failed { stderr, .. } if is_refusal(stderr))
}

fn import_again(remedy: Remedy, ns: &str) -> Remedy {
    remedy.command(format!("kubectl -n {ns} get configmap external-cluster-user-command -o jsonpath='{{.data.args}}'"))
}

fn operator_refused(cluster: &CephCluster, error: &str, refusal: Evidence) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let summary = say!(
        "the provider's Ceph refuses the user of the operator (client.healthchecker): its key, name or fsid is wrong"
    );
    let remedy = Remedy::guided(say!(
        "at the provider run create-external-cluster-resources.py of the installed Rook release again with the same flags and --upgrade, then import what it prints into {}",
        cluster.metadata.namespace
    ));
    let evidence = Evidence::field(&object, "status.ceph.details.error", error);
    Finding::critical(object, summary, import_again(remedy, &cluster.metadata.namespace)).evidence([refusal, evidence])
}

fn csi_refused(class: &StorageClass, event: &Event, version: Option<Version>) -> Finding {
    let parameter = |key: &str| class.parameters.get(&format!("csi.storage.k8s.io/{key}")).map_or("", String::as_str);
    let (ns, secret) = (parameter("provisioner-secret-namespace"), parameter("provisioner-secret-name"));
    let is_rbd = class.provisioner.ends_with("rbd.csi.ceph.com");
    let has_bug = is_rbd && matches!(version, Some((1, 18, 0 | 1)));
    let summary = say!(
        "the provider's Ceph refuses the CSI user in Secret {}/{}, which StorageClass {} names",
        ns,
        secret,
        class.metadata.name
    );
    let remedy = if has_bug {
        Remedy::guided(say!(
            "upgrade Rook to 1.18.2 or later and import again: the import script of 1.18.0 and 1.18.1 writes the key of the CephFS user into the Secrets of RBD when it runs a second time"
        ))
    } else {
        Remedy::guided(say!(
            "compare the user's key and capabilities at the provider; after a key rotation, a new cluster or an upgrade of Rook run create-external-cluster-resources.py there again with --upgrade, and import what it prints"
        ))
    };
    let remedy =
        remedy.command(format!("kubectl -n {ns} get secret {secret} -o jsonpath='{{.data.userID}}' | base64 -d"));
    let objects = class_objects([class]);
    let object = objects.first().cloned().unwrap_or_else(|| driver_object(&class.provisioner));
    Finding::warning(object.clone(), summary, import_again(remedy, ns)).since(event.first_seen()).evidence([
        Evidence::event(event),
        Evidence::field(&object, "parameters", format!("provisioner-secret-name {secret}")),
    ])
}
