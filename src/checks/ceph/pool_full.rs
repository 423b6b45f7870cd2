use std::collections::BTreeSet;

use super::{ceph_command, quoted, raised, toned};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::{Cluster, Facts, Gap};
use crate::objects::ceph::{Health, HealthCheck};
use crate::say;

check! {
    /// # What it looks at
    /// The health codes POOL_FULL, POOL_NEAR_FULL, POOL_NEARFULL and POOL_BACKFILLFULL (Ceph writes one of them in
    /// two spellings) and the reason in their details: a quota, or no space on the OSDs.
    ///
    /// # Why it matters
    /// Writes to a full pool fail or hang, and so does everything that mounts from it. A quota is somebody's
    /// decision and is lifted in a moment; full OSDs are not.
    ///
    /// # Confirm by hand
    /// `ceph df detail`, `ceph osd pool get-quota <pool>`, `ceph osd df tree`.
    ///
    /// # Fix
    /// A quota: delete data or raise it, by `quotas` of the CephBlockPool or CephFilesystem where one is set there,
    /// since the operator writes it back. No space: OSD008.
    ///
    /// # References
    /// Ceph: health codes POOL_FULL, POOL_NEAR_FULL; "Set Pool Quotas". Rook: CRDs/Block-Storage, `quotas`.
    "CEPH007" "pool-full" Ceph,
    needs: [CephHealth],
    explained_by: [(osd::osd_capacity, Daemon), (osd::osd_capacity, Pool)],
}

const CODES: &[&str] = &["POOL_FULL", "POOL_NEAR_FULL", "POOL_NEARFULL", "POOL_BACKFILLFULL"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, health) = (facts.cluster()?, facts.ceph_health()?);
    let codes = raised(health, CODES);
    let of = |quota: bool| {
        let details = codes.iter().flat_map(|(code, check)| check.details().map(move |text| (*code, *check, text)));
        details.filter(|(.., text)| is_of_quota(text) == quota).collect::<Vec<_>>()
    };
    let mut findings: Vec<Finding> =
        [by_quota(cluster, &of(true)), no_space(cluster, health, &of(false))].into_iter().flatten().collect();
    // Without details nobody knows which pools, and the code stands all the same.
    if findings.is_empty() && !codes.is_empty() {
        findings.extend(codes.iter().map(|(code, check)| bare(cluster, code, check)));
    }
    Ok(Answered::judged(findings))
}

/// `pool 'kube' is full (running out of quota)`, and `pool 'kube' has 95 GiB (max 100 GiB)` of one that comes near it.
pub(crate) fn is_of_quota(detail: &str) -> bool {
    detail.contains("quota") || detail.contains("' has ") && detail.contains("(max ")
}

/// A code, and one of its details.
type Told<'h> = (&'h str, &'h HealthCheck, &'h str);

fn severity(told: &[Told<'_>]) -> Severity {
    let of = |code: &str, check| toned(check, if code == "POOL_FULL" { Severity::Critical } else { Severity::Warning });
    told.iter().map(|(code, check, _)| of(code, check)).max().unwrap_or(Severity::Warning)
}

/// The name in `pool 'kube' is full (running out of quota)`
fn pool(detail: &str) -> Option<&str> {
    detail.split_once('\'')?.1.rsplit_once('\'').map(|(name, _)| name)
}

fn pools<'h>(told: &[Told<'h>]) -> BTreeSet<&'h str> {
    told.iter().filter_map(|(.., detail)| pool(detail)).collect()
}

fn by_quota(cluster: &Cluster, told: &[Told<'_>]) -> Option<Finding> {
    if told.is_empty() {
        return None;
    }
    let names = pools(told);
    let summary =
        say!("the quota of pool {} is used up or nearly so", names.iter().copied().collect::<Vec<_>>().join(", "));
    let remedy = Remedy::guided(say!("delete data or raise the quota: in the CephBlockPool or CephFilesystem if it is set there, else with ceph osd pool set-quota"))
        .command(ceph_command(cluster, "df detail"));
    let remedy = names.iter().take(3).fold(remedy, |remedy, name| {
        remedy.command(ceph_command(cluster, &format!("osd pool get-quota {}", quoted(name))))
    });
    Some(finding(cluster, "quota", summary, remedy, told))
}

fn no_space(cluster: &Cluster, health: &Health, told: &[Told<'_>]) -> Option<Finding> {
    if told.is_empty() {
        return None;
    }
    let names = pools(told);
    let shown = names.iter().take(4).copied().collect::<Vec<_>>().join(", ");
    let summary = match names.len() {
        0..=4 => say!("pools run out of space on their OSDs: {}", shown),
        all => say!("pools run out of space on their OSDs: {} and {} more", shown, all - 4),
    };
    let remedy = Remedy::guided(say!("give the OSDs room: delete data, add OSDs, or let the balancer spread it"))
        .command(ceph_command(cluster, "osd df tree"));
    // The OSDs that are full are where the space is lacking.
    let full = raised(health, &["OSD_FULL", "OSD_BACKFILLFULL", "OSD_NEARFULL"]);
    let osds = full.iter().flat_map(|(_, check)| check.details()).filter_map(|detail| detail.split_whitespace().next());
    let osds: Vec<Place> =
        osds.filter(|osd| osd.starts_with("osd.")).map(|osd| Place::Daemon(osd.to_owned())).collect();
    Some(finding(cluster, "space", summary, remedy, told).at(osds))
}

fn bare(cluster: &Cluster, code: &str, check: &HealthCheck) -> Finding {
    let summary = say!("{}: {}", code, check.summary.message);
    let remedy = Remedy::guided(say!("see which pools, and whether by quota or for space"))
        .command(ceph_command(cluster, "df detail"));
    finding(cluster, code, summary, remedy, &[(code, check, "")])
}

fn finding(cluster: &Cluster, detail: &str, summary: Text, remedy: Remedy, told: &[Told<'_>]) -> Finding {
    let quotes = told.iter().filter(|(.., detail)| !detail.is_empty()).take(4);
    let codes: BTreeSet<(&str, &str)> =
        told.iter().map(|(code, check, _)| (*code, check.summary.message.as_str())).collect();
    Finding::new(severity(told), ObjectRef::cluster(cluster), summary, remedy)
        .detail(detail)
        .at(pools(told).into_iter().map(|name| Place::Pool(name.to_owned())))
        .evidence(codes.iter().map(|(code, message)| Evidence::ceph("health detail", format!("{code}: {message}"))))
        .evidence(quotes.map(|(.., detail)| Evidence::ceph("health detail", detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_names_its_pool() {
        assert_eq!(pool("pool 'quotapool' is full (running out of quota)"), Some("quotapool"));
        assert_eq!(pool("1 pool(s) full"), None);
    }

    #[test]
    fn a_quota_is_told_from_lack_of_space() {
        for (detail, quota) in [
            ("pool 'kube' is full (running out of quota)", true),
            ("pool 'kube' has 95 GiB (max 100 GiB)", true),
            ("pool 'kube' has 950 objects (max 1000)", true),
            ("pool 'kube' is full (no space)", false),
            ("pool 'kube' is nearfull", false),
        ] {
            assert_eq!(is_of_quota(detail), quota, "{detail}");
        }
    }
}
