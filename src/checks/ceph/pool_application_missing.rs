use std::collections::BTreeMap;

use super::{ceph_command, quoted, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap, Select, Settled, Unknown, both};
use crate::objects::ceph::HealthCheck;
use crate::objects::kube::StorageClass;
use crate::objects::rook::{BlockPool, Filesystem, ObjectStore};
use crate::say;

check! {
    /// # What it looks at
    /// The pools that POOL_APP_NOT_ENABLED names, and who uses them: CephBlockPools and rbd StorageClasses
    /// (`rbd`), CephFilesystems and cephfs StorageClasses (`cephfs`), CephObjectStores (`rgw`).
    ///
    /// # Why it matters
    /// Ceph warns until every pool with data says what it is for, and clients with narrow capabilities
    /// (`profile rbd`, `allow rw tag cephfs`) may be refused. A pool made by hand has no application. The wrong
    /// one is not repaired by adding the right one, so it is named only where its use proves it.
    ///
    /// # Confirm by hand
    /// `ceph health detail`, `ceph osd pool application get <pool>`.
    ///
    /// # Fix
    /// `ceph osd pool application enable <pool> <application>`; for rbd also `rbd pool init <pool>` if that was
    /// never done. Undo: `ceph osd pool application disable <pool> <application> --yes-i-really-mean-it`.
    /// Better still, let a CephBlockPool own the pool.
    ///
    /// # References
    /// Ceph: health code POOL_APP_NOT_ENABLED, "Associating a Pool with an Application".
    "CEPH002" "pool-application-missing" Ceph,
    needs: [Discovery, CephHealth, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let health = facts.ceph_health()?;
    let Some(code) = health.checks.get("POOL_APP_NOT_ENABLED") else { return Ok(Answered::passed()) };
    let cluster = facts.cluster()?;
    let mut blind = Vec::new();
    let users = users(facts, &mut blind)?;
    let named = |detail: &'_ str| -> Option<String> {
        Some(detail.split("application not enabled on pool '").nth(1)?.strip_suffix('\'')?.to_owned())
    };
    let pools: Vec<String> = code.details().filter_map(named).collect();
    let severity = toned(code, Severity::Warning);
    if pools.is_empty() {
        return Ok(Answered::judged(vec![unnamed(cluster, code, severity)]).blind(blind));
    }
    // What could not be read might prove another application.
    let sees_all = blind.is_empty();
    let proofs = |pool: &str| if sees_all { users.of(pool, &cluster.ns) } else { BTreeMap::new() };
    let findings = pools.iter().map(|pool| finding(cluster, pool, &proofs(pool), severity, sees_all));
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// Who may use a pool.
#[derive(Default)]
struct Users<'s> {
    classes: &'s [StorageClass],
    block_pools: &'s [BlockPool],
    filesystems: &'s [Filesystem],
    stores: &'s [ObjectStore],
}

/// Asked only when a pool is named, so these lists are no cost to a healthy cluster.
fn users<'s>(facts: &Facts<'s>, blind: &mut Vec<Unknown>) -> Result<Users<'s>, Gap> {
    let ns = Some(facts.cluster()?.ns.as_str());
    let one = both(
        facts.list::<StorageClass>(None, Select::all()).settled(),
        facts.list::<BlockPool>(ns, Select::all()).settled(),
    );
    let two = both(
        facts.list::<Filesystem>(ns, Select::all()).settled(),
        facts.list::<ObjectStore>(ns, Select::all()).settled(),
    );
    let ((classes, block_pools), (filesystems, stores)) = both(one, two)?;
    fn known<'s, T>(list: Result<&'s [T], Unknown>, blind: &mut Vec<Unknown>) -> &'s [T] {
        list.unwrap_or_else(|unknown| {
            blind.push(unknown);
            &[]
        })
    }
    Ok(Users {
        classes: known(classes, blind),
        block_pools: known(block_pools, blind),
        filesystems: known(filesystems, blind),
        stores: known(stores, blind),
    })
}

impl Users<'_> {
    /// Every application that something proves, and what does.
    fn of(&self, pool: &str, ns: &str) -> BTreeMap<String, Vec<String>> {
        let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut prove = |application: &str, by: String| proofs.entry(application.to_owned()).or_default().push(by);
        for class in self.classes {
            // Another Ceph cluster may have a pool of the same name.
            let here = class.parameters.get("clusterID").is_none_or(|id| id == ns);
            let uses =
                ["pool", "dataPool"].iter().any(|key| class.parameters.get(*key).is_some_and(|used| used == pool));
            let proof = || format!("StorageClass {}", class.metadata.name);
            if here && uses && class.provisioner.ends_with("rbd.csi.ceph.com") {
                prove("rbd", proof());
            } else if here && uses && class.provisioner.ends_with("cephfs.csi.ceph.com") {
                prove("cephfs", proof());
            }
        }
        for block in self.block_pools.iter().filter(|block| pool_name(block) == pool) {
            // Rook keeps pools of the mgr and of RGW in CephBlockPools as well.
            let application = match block.spec.application.as_str() {
                "" if pool == ".mgr" => "mgr",
                "" if pool == ".rgw.root" => "rgw",
                "" => "rbd",
                told => told,
            };
            prove(application, format!("CephBlockPool {}", block.metadata.name));
        }
        for fs in self.filesystems.iter().filter(|fs| pools_of(fs).any(|name| name == pool)) {
            prove("cephfs", format!("CephFilesystem {}", fs.metadata.name));
        }
        for store in self.stores.iter().map(|store| &store.metadata.name) {
            if pool == ".rgw.root" || pool.starts_with(&format!("{store}.rgw.")) {
                prove("rgw", format!("CephObjectStore {store}"));
            }
        }
        proofs
    }
}

/// The pools that Rook makes for a filesystem: a data pool without a name has its number.
fn pools_of(fs: &Filesystem) -> impl Iterator<Item = String> {
    let name = &fs.metadata.name;
    let data = fs.spec.data_pools.iter().enumerate().flat_map(move |(at, pool)| match pool.name.as_str() {
        "" => vec![format!("{name}-data{at}")],
        // With preservePoolNames the name stands alone.
        given => vec![format!("{name}-{given}"), given.to_owned()],
    });
    data.chain([format!("{name}-metadata")])
}

fn pool_name(block: &BlockPool) -> &str {
    if block.spec.name.is_empty() { &block.metadata.name } else { &block.spec.name }
}

/// The code with no detail that could be read.
fn unnamed(cluster: &Cluster, code: &HealthCheck, severity: Severity) -> Finding {
    let remedy = Remedy::guided(say!("find the pools without an application, and who uses them"))
        .command(ceph_command(cluster, "osd pool ls detail"));
    let summary = say!("{}, and Ceph does not name them", code.summary.message);
    Finding::new(severity, ObjectRef::cluster(cluster), summary, remedy)
        .evidence([Evidence::ceph("health detail", &code.summary.message)])
}

fn finding(
    cluster: &Cluster,
    pool: &str,
    proofs: &BTreeMap<String, Vec<String>>,
    severity: Severity,
    sees_all: bool,
) -> Finding {
    let object = ObjectRef::cluster(cluster);
    let enable = |application: &str| {
        ceph_command(cluster, &format!("osd pool application enable {} {application}", quoted(pool)))
    };
    let all: Vec<_> = proofs.iter().collect();
    let (summary, remedy) = match all.as_slice() {
        [] if !sees_all => (
            say!("pool {} has no application, and not all that might use it could be read", pool),
            Remedy::guided(say!("find out who uses the pool before an application is enabled"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
        [(application, by)] => (
            say!("pool {} has no application; {} uses it as {}", pool, by.join(", "), application),
            Remedy::guided(say!("enable the application {} on pool {}", application, pool))
                .command(enable(&quoted(application))),
        ),
        [] => (
            say!("pool {} has no application, and nothing here says what it is for", pool),
            Remedy::guided(say!("find out who uses the pool, then enable rbd, cephfs, rgw or a name of your own"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
        several => (
            say!(
                "pool {} has no application, and it is used as {}",
                pool,
                several.iter().map(|(application, _)| application.as_str()).collect::<Vec<_>>().join(" and ")
            ),
            Remedy::guided(say!("decide which application the pool belongs to; a pool should serve one"))
                .command(ceph_command(cluster, &format!("osd pool application get {}", quoted(pool)))),
        ),
    };
    let proofs = all.iter().flat_map(|(application, by)| by.iter().map(move |by| format!("{by}: {application}")));
    Finding::new(severity, object.clone(), summary, remedy)
        .detail(pool)
        .at([Place::Pool(pool.to_owned())])
        .evidence([Evidence::ceph("health detail", format!("application not enabled on pool '{pool}'"))])
        .evidence(proofs.map(|proof| Evidence {
            from: proof,
            field: String::new(),
            at: None,
            excerpt: format!("pool {pool}"),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_users_of_two_kinds_prove_nothing() {
        let class = |provisioner: &str, pool: &str| StorageClass {
            provisioner: provisioner.into(),
            parameters: BTreeMap::from([("pool".to_owned(), pool.to_owned())]),
            ..StorageClass::default()
        };
        let classes = [class("rook-ceph.rbd.csi.ceph.com", "kube"), class("rook-ceph.cephfs.csi.ceph.com", "kube")];
        let users = Users { classes: &classes, ..Users::default() };
        assert_eq!(users.of("kube", "rook-ceph").len(), 2);
        assert_eq!(users.of("other", "rook-ceph").len(), 0);
        let users = Users { classes: &classes[..1], ..Users::default() };
        assert_eq!(users.of("kube", "rook-ceph").keys().collect::<Vec<_>>(), ["rbd"]);
    }
}
