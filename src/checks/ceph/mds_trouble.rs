//! What is wrong with each filesystem, as Ceph tells it and as its MDS pods show it.

use std::collections::BTreeMap;

use crate::facts::tables::PodRow;
use crate::objects::ceph::{Health, HealthCheck, Status};
use crate::objects::rook::Filesystem;

/// The codes that this check reports.
pub(super) const CODES: &[&str] = &[
    "MDS_ALL_DOWN",
    "MDS_DAMAGE",
    "FS_WITH_FAILED_MDS",
    "FS_DEGRADED",
    "MDS_UP_LESS_THAN_MAX",
    "MDS_INSUFFICIENT_STANDBY",
];

/// What is wrong with one filesystem.
#[derive(Default)]
pub(super) struct Trouble<'s> {
    pub codes: Vec<(&'static str, &'s HealthCheck, String)>,
    /// Ranks whose MDS Ceph does not hear: `mds.myfs-a (rank 0)`.
    pub laggy: Vec<String>,
    pub pods: Vec<&'s PodRow>,
    /// Whether one of its MDS pods runs.
    pub serves: bool,
}

/// The filesystems of which MDS pods are not well.
pub(super) fn by_pods<'s>(pods: &'s [PodRow], filesystems: &'s [Filesystem]) -> BTreeMap<String, Trouble<'s>> {
    let mut troubles = BTreeMap::new();
    for (fs, rows) in by_filesystem(pods, filesystems) {
        let serves = |daemon: &str| rows.iter().any(|(id, row)| *id == daemon && row.is_well());
        let lost: Vec<_> = rows.iter().filter(|(id, _)| !serves(id)).map(|(_, row)| *row).collect();
        if !lost.is_empty() {
            let serves = rows.iter().any(|(_, row)| row.is_well());
            troubles.insert(fs.to_owned(), Trouble { pods: lost, serves, ..Trouble::default() });
        }
    }
    troubles
}

/// The ranks whose MDS is not heard, with the id of their filesystem. Without a standby no code tells of them.
pub(super) fn laggy(status: &Status) -> impl Iterator<Item = (i64, String)> {
    let ranks = status.fsmap.by_rank.iter().filter(|rank| rank.status.contains("laggy"));
    ranks.map(|rank| (rank.filesystem_id, format!("mds.{} (rank {})", rank.name, rank.rank)))
}

/// A code that names no filesystem belongs to the only one in trouble.
pub(super) fn join_unnamed(troubles: &mut BTreeMap<String, Trouble<'_>>) {
    if troubles.len() == 2
        && let Some(unnamed) = troubles.remove("")
        && let Some(only) = troubles.values_mut().next()
    {
        only.codes.extend(unnamed.codes);
        only.laggy.extend(unnamed.laggy);
    }
}

/// MDS pods by the CephFilesystem they serve, with the daemon's id (`myfs-a`).
fn by_filesystem<'s>(
    pods: &'s [PodRow],
    filesystems: &'s [Filesystem],
) -> BTreeMap<&'s str, Vec<(&'s str, &'s PodRow)>> {
    let mut found: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for row in pods {
        let Some(id) = row.daemon_id("rook-ceph-mds-") else { continue };
        let Some((name, _)) = id.rsplit_once('-') else { continue };
        if let Some(fs) = filesystems.iter().find(|fs| fs.metadata.name == name) {
            found.entry(&fs.metadata.name).or_default().push((id, row));
        }
    }
    found
}

/// The raised codes, each by the filesystem that its detail names; none named is an empty name.
pub(super) fn raised(health: &Health) -> Vec<(String, (&'static str, &HealthCheck, String))> {
    let mut found = Vec::new();
    for code in CODES {
        let Some(check) = health.checks.get(*code) else { continue };
        let named = check.details().filter_map(|detail| {
            let fs = detail.strip_prefix("fs ")?.split_whitespace().next()?;
            Some((fs.to_owned(), (*code, check, detail.trim_end_matches('.').to_owned())))
        });
        let named: Vec<_> = named.collect();
        // Details such as `have 0; want 1 more` say nothing without their summary.
        let message = check
            .details()
            .next()
            .map_or_else(|| check.summary.message.clone(), |detail| format!("{} ({detail})", check.summary.message));
        let unnamed = named.is_empty().then(|| (String::new(), (*code, check, message)));
        found.extend(named.into_iter().chain(unnamed));
    }
    found
}
