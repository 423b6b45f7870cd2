//! Recorded clusters compiled into the binary, so that a first look needs no cluster.
//!
//! Each archive is a bundle, packed the same way every time:
//! `tar --sort=name --mtime='2020-01-01 00:00Z' --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX'
//! --format=ustar --exclude=secrets.yaml -cf - NAME | gzip -9n`.

/// A recorded cluster.
#[derive(Debug)]
pub struct Example {
    pub name: &'static str,
    /// What happened there, in one line.
    pub about: &'static str,
    /// A bundle as `.tar.gz`.
    pub archive: &'static [u8],
}

macro_rules! examples {
    ($($name:literal: $about:literal;)*) => {
        /// Every example: the healthy clusters, then the broken ones.
        pub static ALL: &[Example] = &[$(Example {
            name: $name,
            about: $about,
            archive: include_bytes!(concat!("examples/", $name, ".tar.gz")),
        }),*];
    };
}

examples! {
    "healthy-classic-podnet": "healthy: classic CSI, everything on the pod network";
    "healthy-csi-operator": "healthy: ceph-csi-operator and CSI-Addons on Cilium";
    "healthy-external": "healthy: an external cluster, provided by Proxmox VE";
    "healthy-hostnet-120": "healthy: host network, operator and cluster in namespaces of their own";
    "healthy-multus-kubeovn": "healthy: Multus storage networks on Kube-OVN";
    "story1-nad-default-route": "a new cluster stalls: the storage network carries a default route";
    "story1b-nad-host-local-duplicates": "two OSDs with one address: host-local IPAM on several nodes";
    "story2-csiaddons-9070-pending": "CSI provisioners wait for port 9070, which the node plugins hold";
    "story2b-csiaddons-9070-crash": "the csi-addons sidecar crashes because port 9070 is taken";
    "story2c-csi-operator-port": "two CSI pods of one node share a liveness port";
    "story3-mixed-images": "three Ceph versions, nine days after an upgrade";
    "story3b-needless-osd-restarts": "all OSDs restarted although nothing of Ceph changed";
    "story4-clock-and-pool-app": "one clock is wrong, and a pool has no application";
    "story4b-cold-start": "a power cut: the monitors are not back yet";
    "story4c-quorum-lost": "two of three monitors were on the node that is gone";
    "story5-kubeovn-after-reboot": "a worker rebooted, and nothing on it gets a pod network";
    "story5b-multus-text-file-busy": "after a reboot Multus cannot replace its own shim";
    "story6-osd-devices-skipped": "disks that Rook did not take, and a reason for each";
    "story7-mon-down-one": "one monitor cannot be placed since a node was cordoned";
}

/// The example of this name.
pub fn find(name: &str) -> Option<&'static Example> {
    ALL.iter().find(|example| example.name == name)
}
