use std::collections::BTreeMap;

use serde_json::Value;

use super::{Other, others};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{Deployment, ManagedFields};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Daemons whose Deployment has another image than `spec.cephVersion.image`, where somebody other than the
    /// operator wrote that image (managedFields); and fields such as `imageOverrides` in what was applied to
    /// the CephCluster, which the server dropped.
    ///
    /// # Why it matters
    /// Rook has one image for every Ceph daemon and no field for an image per daemon (issues 14965 and 15849
    /// were closed). An image edited by hand is put back at the next reconcile, or stays for ever under the
    /// label `ceph.rook.io/do-not-reconcile`, where upgrades pass it by. A dropped field does nothing at all.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deployments -l rook_cluster=<ns> -o wide` and
    /// `kubectl -n <ns> get deployment <name> -o yaml --show-managed-fields`.
    ///
    /// # Fix
    /// Ask why the other image was needed and whether the CephCluster's has it. Then take the label away, and
    /// the operator puts its image back. A custom build for all daemons belongs into `spec.cephVersion.image`.
    ///
    /// # References
    /// Rook issues 14965 and 15849; CRDs/Cluster, "Ceph container images".
    "IMG003" "image-overridden" Img,
    needs: [Discovery, CephClusters, DaemonDeployments, Objects],
    explained_by: [],
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the daemons of an external cluster live elsewhere"));
    }
    let (object, rows) = both(facts.ceph_cluster(), facts.daemon_deployments())?;
    let others = rarest_first(others(rows, object));
    let each = facts.each(others, |facts, other| facts.object::<Deployment>(&cluster.ns, other.deployment))?;
    let edited = each.seen.iter().filter_map(|(other, deployment)| {
        let by = editor((*deployment)?, other.kind)?;
        Some(finding(object, other, by))
    });
    let dropped = dropped(object).map(|fields| pruned(object, &fields));
    Ok(Answered::judged(edited.chain(dropped).collect()).blind(each.blind))
}

/// An image edited by hand is rare; one that is shared by many is the last upgrade's. Not all can be opened.
fn rarest_first(mut others: Vec<Other<'_>>) -> Vec<Other<'_>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for other in &others {
        *counts.entry(other.image).or_default() += 1;
    }
    others.sort_by_key(|other| counts.get(other.image).copied());
    others
}

/// Who wrote the image last, if it was not the operator.
fn editor<'d>(deployment: &'d Deployment, container: &str) -> Option<&'d ManagedFields> {
    let container = format!("k:{{\"name\":\"{container}\"}}");
    let path = ["f:spec", "f:template", "f:spec", "f:containers", &container, "f:image"];
    deployment.metadata.written_by(&path).filter(|entry| !entry.manager.starts_with("rook"))
}

fn finding(cluster: &CephCluster, other: &Other<'_>, by: &ManagedFields) -> Finding {
    let ns = &cluster.metadata.namespace;
    let wanted = &cluster.spec.ceph_version.image;
    let object = ObjectRef::new(kinds::DEPLOYMENT, ns, other.deployment);
    let summary = say!(
        "{}.{} runs the image {}, set by hand ({}), instead of the cluster's {}",
        other.kind,
        other.id,
        other.image,
        by.manager,
        wanted
    );
    let remedy = Remedy::guided(say!(
        "ask why it was needed and whether {} has it; then take the label away, and the operator puts its image back",
        wanted
    ))
    .command(format!("kubectl -n {ns} get deployment {} -o yaml --show-managed-fields", other.deployment))
    .command(format!("kubectl -n {ns} label deployment {} ceph.rook.io/do-not-reconcile-", other.deployment));
    let excerpt = format!("{} by {} ({})", other.image, by.manager, by.operation);
    Finding::warning(object.clone(), summary, remedy).at([Place::daemon(other.kind, other.id)]).since(by.time).evidence(
        [
            Evidence::field(&object, format!("image of {}", other.kind), excerpt).at(by.time),
            Evidence::field(&ObjectRef::of::<CephCluster>(&cluster.metadata), "spec.cephVersion.image", wanted),
        ],
    )
}

/// Fields about images in what was applied that Rook does not know.
fn dropped(cluster: &CephCluster) -> Option<Vec<String>> {
    let applied: Value = serde_json::from_str(cluster.metadata.annotations.get(LAST_APPLIED)?).ok()?;
    let mut found = Vec::new();
    collect("spec", applied.get("spec")?, &mut found);
    (!found.is_empty()).then_some(found)
}

/// Fields whose content is free, at any depth: what is named there is no field of Rook's.
const FREE: &[&str] = &[
    "cephVersion",
    "cephConfig",
    "cephConfigFromSecret",
    "config",
    "connectionDetails",
    "placement",
    "metadata",
    "annotations",
    "labels",
];

fn collect(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| !FREE.contains(&key.as_str())) {
                let path = format!("{path}.{key}");
                if key.to_lowercase().contains("image") {
                    found.push(path);
                } else {
                    collect(&path, value, found);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| collect(&format!("{path}[{at}]"), item, found));
        }
        _ => {}
    }
}

fn pruned(cluster: &CephCluster, fields: &[String]) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let list = fields.join(", ");
    let summary = say!("{} was applied to the CephCluster and dropped: Rook has no image per daemon", list);
    let remedy = Remedy::guided(say!(
        "take {} out of the manifest; one image for all daemons belongs into spec.cephVersion.image",
        list
    ))
    .command(format!(
        "kubectl -n {} get cephcluster {} -o jsonpath='{{.spec.cephVersion.image}}'",
        cluster.metadata.namespace, cluster.metadata.name
    ));
    let line = Evidence::field(&object, format!("metadata.annotations[{LAST_APPLIED}]"), &list);
    Finding::warning(object, summary, remedy).detail("dropped").evidence([line])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::kube::Meta;
    use serde_json::json;

    #[test]
    fn fields_that_rook_does_not_know_are_told() {
        let dropped = |spec: Value| {
            let applied = json!({"spec": spec}).to_string();
            let metadata = Meta { annotations: [(LAST_APPLIED.to_owned(), applied)].into(), ..Meta::default() };
            dropped(&CephCluster { metadata, ..CephCluster::default() })
        };
        assert_eq!(dropped(json!({"cephVersion": {"image": "x", "imagePullPolicy": "Always"}})), None);
        let fields = dropped(json!({"mgr": {"image": "y"}, "imageOverrides": {"osd": "z"}}));
        assert_eq!(fields, Some(vec!["spec.imageOverrides".to_owned(), "spec.mgr.image".to_owned()]));
        let free =
            json!({"cephConfig": {"mgr": {"mgr/cephadm/container_image_nvmeof": "x"}}, "labels": {"image": "y"}});
        assert_eq!(dropped(free), None);
        let nodes = dropped(json!({"storage": {"nodes": [{"name": "w1", "image": "z"}]}}));
        assert_eq!(nodes, Some(vec!["spec.storage.nodes[0].image".to_owned()]));
    }
}
