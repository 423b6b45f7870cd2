//! Who uses a pool of Ceph, as far as Kubernetes tells.

use std::collections::BTreeMap;

use crate::facts::{Facts, Gap, Select, Settled, Unknown, both, known};
use crate::objects::kube::StorageClass;
use crate::objects::rook::{BlockPool, Filesystem, ObjectStore};

/// Who may use a pool.
#[derive(Default)]
pub(crate) struct Users<'s> {
    classes: &'s [StorageClass],
    block_pools: &'s [BlockPool],
    filesystems: &'s [Filesystem],
    stores: &'s [ObjectStore],
}

/// Asked only when a pool is named, so these lists are no cost to a healthy cluster.
pub(crate) fn users<'s>(facts: &Facts<'s>, blind: &mut Vec<Unknown>) -> Result<Users<'s>, Gap> {
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
    Ok(Users {
        classes: known(classes, blind).unwrap_or_default(),
        block_pools: known(block_pools, blind).unwrap_or_default(),
        filesystems: known(filesystems, blind).unwrap_or_default(),
        stores: known(stores, blind).unwrap_or_default(),
    })
}

impl Users<'_> {
    /// Every application that something proves, and what does.
    pub fn of(&self, pool: &str, ns: &str) -> BTreeMap<String, Vec<String>> {
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
