use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::ceph_classes;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::ceph::{FsDump, Pool};
use crate::objects::kube::StorageClass;
use crate::objects::rook::{BlockPool, Filesystem};
use crate::say;

/// A pool or filesystem that is made together with its class takes some minutes.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

check! {
    /// # What it looks at
    /// StorageClasses of this CephCluster that a Pending claim names: their `pool`, `dataPool` and `fsName`
    /// against the pools and filesystems that Ceph has (`ceph osd pool ls detail`, `ceph fs dump`), and, for one
    /// that is absent, the CephBlockPool or CephFilesystem that should have made it. Ceph is asked on this
    /// suspicion only. Subvolume groups are not observable this way: `ceph fs subvolumegroup ls <fs>`.
    ///
    /// # Why it matters
    /// No claim of such a class can be provisioned: the events say `pool not found`, or only `rados: ret=-2`.
    ///
    /// # Confirm by hand
    /// `kubectl get storageclass <name> -o jsonpath='{.parameters}'`, `ceph osd pool ls`, `ceph fs ls`. Also
    /// `ceph fs subvolumegroup ls <fs>`, which must name `csi` or the group that the configuration gives.
    ///
    /// # Fix
    /// If the name is misspelt make the class anew, as its parameters cannot be changed. If a custom resource
    /// asks for it, the operator has not made it: follow the phase of that resource. A CephFilesystem names its
    /// data pools `<filesystem>-<name>`, or `<filesystem>-data0` where the pool has no name.
    ///
    /// # References
    /// Rook: Storage-Configuration/Shared-Filesystem-CephFS/filesystem-storage, CRDs/Block-Storage.
    "CSI016" "backend-missing" Csi,
    needs: [Discovery, Claims, StorageClasses, Pools, FsDump, Objects],
    explained_by: [(opr::operator_down, Cluster), (opr::reconcile_failing, Cluster)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (claims, classes) = both(facts.claims(), ceph_classes(facts))?;
    let pending: BTreeSet<&str> =
        claims.iter().filter(|row| row.status == "Pending").map(|row| row.storage_class.as_str()).collect();
    let is_ours = |class: &StorageClass| {
        let id = class.parameters.get("clusterID");
        id.is_some_and(|id| *id == cluster.ns || *id == cluster.name)
    };
    let is_new = |class: &StorageClass| {
        class.metadata.creation_timestamp.is_some_and(|made| facts.now().duration_since(made) < PATIENCE)
    };
    let suspects = classes.values().filter(|class| pending.contains(class.metadata.name.as_str()));
    let suspects: Vec<&StorageClass> = suspects.copied().filter(|class| is_ours(class) && !is_new(class)).collect();
    if suspects.is_empty() {
        return Ok(Answered::passed());
    }
    let (pools, filesystems) = both(facts.pools(), facts.fs_dump())?;
    let absent = suspects.iter().flat_map(|class| absent(class, pools, filesystems));
    let read = facts.each(absent, |facts, backend| asked_for(facts, &cluster.ns, backend))?;
    let findings = read.seen.iter().map(|(backend, asked)| finding(backend, asked.as_ref(), pools, filesystems));
    Ok(Answered::judged(findings.collect()).blind(read.blind))
}

/// What a class names and Ceph has not.
struct Backend<'s> {
    class: &'s StorageClass,
    parameter: &'static str,
    name: &'s str,
}

fn absent<'s>(class: &'s StorageClass, pools: &[Pool], filesystems: &FsDump) -> Vec<Backend<'s>> {
    let named = ["pool", "dataPool", "fsName"].into_iter().filter_map(|parameter| {
        let name = class.parameters.get(parameter)?;
        Some(Backend { class, parameter, name })
    });
    let exists = |backend: &Backend<'_>| match backend.parameter {
        "fsName" => filesystems.filesystems.iter().any(|entry| entry.mdsmap.fs_name == backend.name),
        _ => pools.iter().any(|pool| pool.pool_name == backend.name),
    };
    named.filter(|backend| !backend.name.is_empty() && !exists(backend)).collect()
}

/// The custom resource of this name, and its phase.
fn asked_for(facts: &Facts<'_>, ns: &str, backend: &Backend<'_>) -> Result<Option<(ObjectRef, String)>, Gap> {
    if backend.parameter == "fsName" {
        let filesystem = facts.object::<Filesystem>(ns, backend.name)?;
        return Ok(filesystem.map(|it| (ObjectRef::of::<Filesystem>(&it.metadata), it.status.phase.clone())));
    }
    let pool = facts.object::<BlockPool>(ns, backend.name)?;
    Ok(pool.map(|it| (ObjectRef::of::<BlockPool>(&it.metadata), it.status.phase.clone())))
}

fn finding(
    backend: &Backend<'_>,
    asked: Option<&(ObjectRef, String)>,
    pools: &[Pool],
    filesystems: &FsDump,
) -> Finding {
    let Backend { class, parameter, name } = backend;
    let object = ObjectRef::new(kinds::STORAGE_CLASS, "", &class.metadata.name);
    let is_pool = *parameter != "fsName";
    let (command, there): (_, Vec<&str>) = if is_pool {
        ("osd pool ls detail", pools.iter().map(|pool| pool.pool_name.as_str()).collect())
    } else {
        ("fs dump", filesystems.filesystems.iter().map(|entry| entry.mdsmap.fs_name.as_str()).collect())
    };
    let there = there.join(", ");
    let summary = if is_pool {
        say!("{} names the pool {}, which Ceph does not have: its claims stay Pending", object, name)
    } else {
        say!("{} names the filesystem {}, which Ceph does not have: its claims stay Pending", object, name)
    };
    let anew = if is_pool {
        say!(
            "make the StorageClass anew with one that exists ({}), as its parameters cannot be changed; or make the pool {}",
            there,
            name
        )
    } else {
        say!(
            "make the StorageClass anew with one that exists ({}), as its parameters cannot be changed; or make the filesystem {}",
            there,
            name
        )
    };
    let remedy = match asked {
        Some((resource, _)) => Remedy::guided(say!(
            "{} asks for it and the operator has not made it: follow its status and events",
            resource
        ))
        .command(format!(
            "kubectl -n {} describe {}.ceph.rook.io {}",
            resource.namespace,
            resource.kind.to_lowercase(),
            resource.name
        )),
        None => Remedy::guided(anew).command(format!("kubectl get storageclass {} -o yaml", class.metadata.name)),
    };
    let phase = asked.map(|(resource, phase)| Evidence::field(resource, "status.phase", phase));
    Finding::warning(object.clone(), summary, remedy)
        .detail(*name)
        .at(is_pool.then(|| Place::Pool((*name).to_owned())))
        .evidence([Evidence::field(&object, format!("parameters.{parameter}"), name), Evidence::ceph(command, there)])
        .evidence(phase)
}
