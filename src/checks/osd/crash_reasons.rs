//! Why an OSD does not start, by the last words of the container that failed.

use crate::facts::{Log, LogLine};
use crate::lang::Words;
use crate::objects::kube::ContainerStatus;
use crate::say;

/// A reason, the words of the log that tell it, and what helps.
pub(super) struct Reason {
    texts: &'static [&'static str],
    pub why: Words,
    pub remedy: Words,
    /// Each disk has its own fault; others are shared.
    pub is_of_disk: bool,
    /// There is no space left.
    pub is_full: bool,
}

const MEMORY: Reason = Reason {
    texts: &[],
    why: || say!("it was killed for memory"),
    remedy: || say!("raise the OSD's memory limit in spec.resources of the CephCluster, or free memory on its node"),
    is_of_disk: false,
    is_full: false,
};

/// The particular first: later words often follow from earlier ones.
const REASONS: &[Reason] = &[
    Reason {
        texts: &["ENOSPC from bluestore", "No space left on device"],
        why: || say!("its disk is full to the last byte"),
        remedy: || {
            say!("add space first: grow the disk or claim below it, then start it again; delete nothing on the disk")
        },
        is_of_disk: false,
        is_full: true,
    },
    Reason {
        texts: &["No key available with this passphrase"],
        why: || say!("its encrypted device does not open with the key that Rook has"),
        remedy: || {
            say!(
                "find the right key: the Secret or the key management service was restored or rotated; without it the data is lost"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["no disk found with OSD ID", "with osd_fsid", "failed to read label for"],
        why: || say!("no disk of its node carries this OSD: gone, renamed, wiped or prepared again"),
        remedy: || {
            say!(
                "look for the disk on the host (lsblk, ceph-volume lvm list, ceph-volume raw list); if it is gone for good, replace the OSD by Rook's procedure"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["!= my id"],
        why: || say!("its disk holds another OSD"),
        remedy: || {
            say!("find out which device belongs to which OSD (ceph-volume raw list on the host) before anything else")
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["mkfs failed, (17) File exists", "_read_fsid unparsable uuid"],
        why: || say!("its directory holds what an earlier installation left"),
        remedy: || {
            say!(
                "clean dataDirHostPath of that OSD on the host, only if no cluster needs what is in it, then restart the operator"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["_lock_fsid failed to lock"],
        why: || say!("another process still holds its disk"),
        remedy: || {
            say!(
                "look for a second ceph-osd of the same OSD on the host: an old pod, or a container that the runtime lost"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["unable to find any IPv4 address in networks", "unable to find any IPv6 address in networks"],
        why: || say!("its pod has no address of the storage network"),
        remedy: || {
            say!(
                "compare the addresses of the pod with public_network and cluster_network, and with the network attachments"
            )
        },
        is_of_disk: false,
        is_full: false,
    },
    Reason {
        texts: &["unable to obtain rotating service keys"],
        why: || say!("it gets no service keys: its clock is wrong, or the monitors do not answer"),
        remedy: || say!("compare the clock of its node with the monitors', then look at the monitors"),
        is_of_disk: false,
        is_full: false,
    },
    Reason {
        texts: &[
            "handle_auth_bad_method",
            "init authentication failed",
            "monclient: keyring not found",
            "osd init failed: (1) Operation not permitted",
        ],
        why: || say!("the monitors do not take its key"),
        remedy: || {
            say!(
                "compare the key in the OSD's directory with the one of `ceph auth get`; a restart of its pod fetches the key again, unless this image cannot read keys of a newer Ceph"
            )
        },
        is_of_disk: false,
        is_full: false,
    },
    Reason {
        texts: &["authenticate timed out"],
        why: || say!("the monitors do not answer it"),
        remedy: || say!("repair the way from its node to the monitors (ports 3300 and 6789)"),
        is_of_disk: false,
        is_full: false,
    },
    Reason {
        texts: &["Input/output error"],
        why: || say!("its disk fails to read or write"),
        remedy: || {
            say!(
                "look at the disk on the host (kernel log, SMART); if it is dead, replace the OSD by Rook's procedure once its data is safe"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
    Reason {
        texts: &["Corruption:"],
        why: || say!("its database is damaged"),
        remedy: || {
            say!(
                "leave it down while the other copies recover, and make it again; repair it only if its data has no other copy"
            )
        },
        is_of_disk: true,
        is_full: false,
    },
];

/// The reason, and the line that tells it.
pub(super) fn reason<'l>(
    status: &ContainerStatus,
    log: Option<&'l Log>,
) -> Option<(&'static Reason, Option<&'l LogLine>)> {
    if status.terminated().is_some_and(|end| end.reason == "OOMKilled") {
        return Some((&MEMORY, None));
    }
    // A disk that was renamed is looked for and found; what comes after that counts.
    let lines = log?.lines.iter().rev().take_while(|line| !line.text.contains("found device: "));
    let lines: Vec<&LogLine> = lines.collect();
    REASONS.iter().find_map(|reason| {
        let tells = |line: &&&LogLine| reason.texts.iter().any(|text| line.text.contains(text));
        Some((reason, Some(*lines.iter().find(tells)?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_particular_reason_goes_first() {
        for (lines, why) in [
            (&["_txc_add_transaction error (28) No space left on device not handled", "ceph_abort"][..], "full"),
            (&["auth: failed to load keyring: (5) Input/output error", "monclient: keyring not found"], "take its key"),
            (&["found device: '", "no disk found with OSD ID 5"], "gone, renamed"),
            (&["no disk found with OSD ID 5", "found device: /dev/sdb", "OSD id 3 != my id 5"], "another OSD"),
            (&["OSD id 3 != my id 5"], "another OSD"),
            (&["** ERROR: osd init failed: (5) Input/output error"], "fails to read"),
        ] {
            let lines = lines.iter().map(|text| LogLine { at: None, text: (*text).to_owned() });
            let log = Log { lines: lines.collect() };
            let (reason, line) = reason(&ContainerStatus::default(), Some(&log)).unwrap();
            assert!((reason.why)().english().contains(why) && line.is_some(), "{why}");
        }
        assert!(reason(&ContainerStatus::default(), Some(&Log::default())).is_none());
    }
}
