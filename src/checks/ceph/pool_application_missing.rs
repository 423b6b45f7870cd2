use std::collections::BTreeMap;

use super::{ceph_command, quoted, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap, Select, Settled, Unknown, both};
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
    let pools = code
        .details()
        .filter_map(|detail| detail.split("application not enabled on pool '").nth(1)?.strip_suffix('\''));
    let severity = toned(code, Severity::Warning);
    let findings = pools.map(|pool| {
        // What could not be read might prove another application.
        let proofs = if blind.is_empty() { users.of(pool) } else { BTreeMap::new() };
        finding(cluster, pool, &proofs, severity)
    });
    Ok(Answered::judged(findings.collect()).blind(blind.iter().cloned()))
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
    fn of(&self, pool: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut proofs: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for class in self.classes {
            let uses =
                ["pool", "dataPool"].iter().any(|key| class.parameters.get(*key).is_some_and(|used| used == pool));
            let proof = || format!("StorageClass {}", class.metadata.name);
            if uses && class.provisioner.ends_with("rbd.csi.ceph.com") {
                proofs.entry("rbd").or_default().push(proof());
            } else if uses && class.provisioner.ends_with("cephfs.csi.ceph.com") {
                proofs.entry("cephfs").or_default().push(proof());
            }
        }
        for block in self.block_pools.iter().filter(|block| pool_name(block) == pool) {
            proofs.entry("rbd").or_default().push(format!("CephBlockPool {}", block.metadata.name));
        }
        for fs in self.filesystems.iter().map(|fs| &fs.metadata.name) {
            if pool == format!("{fs}-metadata")
                || pool.starts_with(&format!("{fs}-data"))
                || pool == format!("{fs}-replicated")
            {
                proofs.entry("cephfs").or_default().push(format!("CephFilesystem {fs}"));
            }
        }
        for store in self.stores.iter().map(|store| &store.metadata.name) {
            if pool == ".rgw.root" || pool.starts_with(&format!("{store}.rgw.")) {
                proofs.entry("rgw").or_default().push(format!("CephObjectStore {store}"));
            }
        }
        proofs
    }
}

fn pool_name(block: &BlockPool) -> &str {
    if block.spec.name.is_empty() { &block.metadata.name } else { &block.spec.name }
}

fn finding(cluster: &Cluster, pool: &str, proofs: &BTreeMap<&'static str, Vec<String>>, severity: Severity) -> Finding {
    let object = ObjectRef::cluster(cluster);
    let enable = |application: &str| {
        ceph_command(cluster, &format!("osd pool application enable {} {application}", quoted(pool)))
    };
    let all: Vec<_> = proofs.iter().collect();
    let (summary, remedy) = match all.as_slice() {
        [(application, by)] => (
            say!("pool {} has no application; {} uses it as {}", pool, by.join(", "), application),
            Remedy::guided(say!("enable the application {} on pool {}", application, pool))
                .command(enable(application)),
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
                several.iter().map(|(a, _)| **a).collect::<Vec<_>>().join(" and ")
            ),
            Remedy::guided(say!("decide which application the pool belongs to; a pool should serve one"))
                .command(enable("<application>")),
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
        assert_eq!(users.of("kube").len(), 2);
        assert_eq!(users.of("other").len(), 0);
        let users = Users { classes: &classes[..1], ..Users::default() };
        assert_eq!(users.of("kube").keys().collect::<Vec<_>>(), [&"rbd"]);
    }
}
