//! The gates that Rook puts before an upgrade of Ceph, by what its errors say.

use crate::lang::Words;
use crate::say;

/// A gate at which a reconcile fails.
pub(super) struct Gate {
    /// A part of the error.
    pub says: &'static str,
    pub name: &'static str,
    pub means: Words,
    pub opens: Words,
}

pub(super) const GATES: &[Gate] = &[
    Gate {
        says: "refusing to upgrade",
        name: "health",
        means: || say!("Ceph is in HEALTH_ERR, and Rook upgrades no such cluster"),
        opens: || say!("repair what is HEALTH_ERR; do not set skipUpgradeChecks instead"),
    },
    Gate {
        says: "does not meet the minimum version",
        name: "version",
        means: || say!("this release of Rook does not run a Ceph so old"),
        opens: || say!("set an image of a release that this Rook supports"),
    },
    Gate {
        says: "allowUnsupported must be set",
        name: "version",
        means: || say!("this release of Rook does not know this Ceph"),
        opens: || say!("set an image of a release that this Rook supports, or upgrade Rook first"),
    },
    Gate {
        says: "ceph version job",
        name: "image",
        means: || say!("the version of the new image could not be read"),
        opens: || say!("see why the job rook-ceph-detect-version does not end: image, placement or network"),
    },
    Gate {
        says: "waiting for monitors to reach quorum",
        name: "quorum",
        means: || say!("the monitors do not reach a quorum"),
        opens: || say!("bring the monitors back first"),
    },
    Gate {
        says: "failed to check if deployment",
        name: "daemon",
        means: || say!("Ceph does not let the next daemon be stopped, or the last one is not back"),
        opens: || say!("see the daemon that the error names, and what of its kind is down"),
    },
];
