//! What the errors of Ceph CSI mean, in events of claims and pods.

use crate::check::Text;
use crate::say;

/// Why CSI refused. Ordered: where several were seen the first is the one to act on, and words that only say
/// that an earlier try still hangs come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    NotRegistered,
    Secret,
    Configuration,
    KeyService,
    Denied,
    Fenced,
    Backend,
    NoMds,
    Full,
    InUse,
    Unreachable,
    /// What attaches volumes does not answer. It may have since, so the words of a mount go first.
    NotAttached,
    Other,
    /// A consequence: something below does not answer in time.
    Hangs,
}

const WORDS: &[(&str, Cause)] = &[
    ("not found in the list of registered CSI drivers", Cause::NotRegistered),
    ("does not contain driver", Cause::NotRegistered),
    ("error getting secret", Cause::Secret),
    ("provided secret is empty", Cause::Secret),
    ("missing ID field 'userID' in secrets", Cause::Secret),
    ("missing key field 'userKey' in secrets", Cause::Secret),
    ("missing configuration for cluster ID", Cause::Configuration),
    ("empty monitor list for cluster ID", Cause::Configuration),
    ("failed to fetch monitor list using clusterID", Cause::Configuration),
    ("error fetching configuration for cluster ID", Cause::Configuration),
    ("encryption kms configuration", Cause::KeyService),
    ("failed connecting to Vault", Cause::KeyService),
    ("rados: ret=-13", Cause::Denied),
    ("rados: ret=-1,", Cause::Denied),
    ("mount error 13 ", Cause::Denied),
    ("Cannot send after transport endpoint shutdown", Cause::Fenced),
    ("blocklisted", Cause::Fenced),
    ("pool not found", Cause::Backend),
    ("rados: ret=-2,", Cause::Backend),
    ("failed to create subvolume group", Cause::Backend),
    ("Error ENOENT", Cause::Backend),
    ("no mds (Metadata Server) is up", Cause::NoMds),
    ("No space left on device", Cause::Full),
    ("is still being used", Cause::InUse),
    ("rados: ret=-110", Cause::Unreachable),
    ("mount error 110 ", Cause::Unreachable),
    ("rbd: map failed: (110)", Cause::Unreachable),
    ("timed out waiting for external-attacher of", Cause::NotAttached),
    ("DeadlineExceeded", Cause::Hangs),
    ("an operation with the given Volume ID", Cause::Hangs),
    ("timed out waiting for", Cause::Hangs),
];

impl Cause {
    pub fn of(message: &str) -> Self {
        let seen = WORDS.iter().filter(|(words, _)| message.contains(words)).map(|(_, cause)| *cause);
        seen.min().unwrap_or(Self::Other)
    }

    /// The end of the sentence "it fails because …".
    pub fn words(self) -> Text {
        match self {
            Self::NotRegistered => say!("the driver is not registered on the node"),
            Self::Secret => say!("a Secret that the StorageClass names is missing or incomplete"),
            Self::Configuration => say!("CSI has no monitors for the clusterID of the StorageClass"),
            Self::KeyService => say!("the key of an encrypted volume cannot be had"),
            Self::Denied => say!("Ceph refuses the key or its capabilities"),
            Self::Fenced => say!("Ceph has blocklisted the client"),
            Self::Backend => say!("a pool, filesystem or subvolume group does not exist in Ceph"),
            Self::NoMds => say!("no MDS is active"),
            Self::Full => say!("there is no space left"),
            Self::InUse => say!("the image is still in use elsewhere"),
            Self::Unreachable => say!("monitors or OSDs do not answer"),
            Self::NotAttached => say!("the driver's csi-attacher does not attach the volume"),
            Self::Other => say!("of the error that the event quotes"),
            Self::Hangs => say!("Ceph does not answer in time"),
        }
    }

    /// Where to look next.
    pub fn advice(self) -> Text {
        match self {
            Self::NotRegistered => {
                say!("look at the driver's node plugin on that node; restarting its pod registers the driver again")
            }
            Self::Secret => say!(
                "compare the secret names and namespaces in the StorageClass with the Secrets that exist; Rook makes them once the cluster is ready"
            ),
            Self::Configuration => say!(
                "compare the clusterID of the StorageClass with the ClientProfiles, or with csi-cluster-config-json of rook-ceph-csi-config"
            ),
            Self::KeyService => say!(
                "look at the key management service that encryptionKMSID of the StorageClass names, and at its entry in rook-ceph-csi-kms-config"
            ),
            Self::Denied => say!(
                "compare the capabilities of the CSI users (ceph auth ls) with those that Rook asks for; after a key rotation or a re-import the Secrets are stale"
            ),
            Self::Fenced => say!(
                "look at `ceph osd blocklist ls` and at NetworkFences for the node's address, and find out why it was fenced before removing the entry"
            ),
            Self::Backend => {
                say!("compare pool and fsName of the StorageClass with `ceph osd pool ls` and `ceph fs ls`")
            }
            Self::NoMds => say!("look at the MDS of the filesystem: nothing can be mounted before one is active"),
            Self::Full => say!("look at `ceph df` and at the quotas of the pool: space must be freed or added"),
            Self::InUse => say!("find who holds the image: `rbd status <pool>/<image>` names its watchers"),
            Self::Unreachable => say!(
                "check that the node reaches every monitor (3300, 6789) and every OSD (6800-7568), and that the OSDs are up"
            ),
            Self::NotAttached => say!(
                "look at the pods of the driver's controller (csi-*plugin-provisioner or *-ctrlplugin): its container csi-attacher sets ATTACHED of the VolumeAttachment"
            ),
            Self::Other => say!("read the quoted error, and the log of the driver's plugin where it happened"),
            Self::Hangs => say!(
                "find what does not answer: quorum, inactive PGs, or the network between the plugin and the OSDs; the tries go on by themselves once it answers"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consequence_is_never_the_cause() {
        for (message, cause) in [
            (
                "rpc error: code = Aborted desc = an operation with the given Volume ID 0001 already exists",
                Cause::Hangs,
            ),
            ("rpc error: code = DeadlineExceeded desc = rados: ret=-13, Permission denied", Cause::Denied),
            (
                "AttachVolume.Attach failed for volume \"pvc-1\" : timed out waiting for external-attacher of rook-ceph.rbd.csi.ceph.com CSI driver to attach volume 0001",
                Cause::NotAttached,
            ),
            ("rados: ret=-110, Connection timed out", Cause::Unreachable),
            ("rados: ret=-1, Operation not permitted", Cause::Denied),
            ("something new", Cause::Other),
        ] {
            assert_eq!(Cause::of(message), cause, "{message}");
        }
        assert!(Cause::Other < Cause::Hangs);
    }
}
