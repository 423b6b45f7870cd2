//! What Ceph's health codes mean and what to do, for those that no check of their own reports.

use crate::lang::{Text, Words};
use crate::say;

/// One code, for a person.
pub(super) struct Meaning {
    pub means: Text,
    pub remedy: Text,
    /// What to look at, as the words after `ceph`.
    pub commands: &'static [&'static str],
    /// A matter of taste or size: information, whatever Ceph calls it.
    pub taste: bool,
}

/// What is known of a code. `MDS_HEALTH_` of the documentation is `MDS_` in the code.
pub(super) fn meaning(code: &str) -> Option<Meaning> {
    let code = code.replacen("MDS_HEALTH_", "MDS_", 1);
    let row = TABLE.iter().find(|(codes, ..)| codes.split(' ').any(|known| matches(known, &code)))?;
    let (_, means, remedy, commands) = *row;
    Some(Meaning { means: means(), remedy: remedy(), commands, taste: TASTE.contains(&code.as_str()) })
}

/// `*` at the end stands for any rest.
fn matches(known: &str, code: &str) -> bool {
    known.strip_suffix('*').map_or(known == code, |prefix| code.starts_with(prefix))
}

const TASTE: &[&str] =
    &["TELEMETRY_CHANGED", "DASHBOARD_DEBUG", "OBJECT_MISPLACED", "POOL_NO_REDUNDANCY", "POOL_PG_NUM_NOT_POWER_OF_TWO"];

type Row = (&'static str, Words, Words, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("MON_MSGR2_NOT_ENABLED",
     || say!("a monitor has no v2 address"),
     || say!("enable msgr2, unless old clients are the reason"), &["mon enable-msgr2"]),
    ("AUTH_INSECURE_*",
     || say!("keys or tickets use the old cipher aes; it holds the cluster in its health state without any outage"),
     || say!("rotate the keys through spec.security.cephx of the CephCluster, daemons before clients, then restrict the ciphers"), &["health detail"]),
    ("AUTH_BAD_CAPS",
     || say!("a user's capabilities cannot be read"),
     || say!("correct them with ceph auth caps"), &["health detail"]),
    ("AUTH_EMERGENCY_CIPHERS_SET",
     || say!("the override for emergencies is active"),
     || say!("take it back when the emergency is over"), &["config dump"]),
    ("OSD_NO_DOWN_OUT_INTERVAL",
     || say!("an OSD that stays down is never marked out, and its data is never copied elsewhere"),
     || say!("take the setting back to its default"), &["config rm global mon_osd_down_out_interval"]),
    ("DEGRADED_STRETCH_MODE RECOVERING_STRETCH_MODE",
     || say!("one site of a stretch cluster is lost or coming back"),
     || say!("bring the site back and wait for recovery"), &["osd tree"]),
    ("INCORRECT_NUM_BUCKETS_STRETCH_MODE UNEVEN_WEIGHTS_STRETCH_MODE STRETCH_MODE_BUCKET_WEIGHT_IMBALANCE NONEXISTENT_MON_CRUSH_LOC_STRETCH_MODE",
     || say!("the CRUSH tree does not fit stretch mode"),
     || say!("make the two sites equal in the CRUSH tree"), &["osd tree"]),
    ("TELEMETRY_CHANGED",
     || say!("what telemetry sends has changed"),
     || say!("agree again, or switch telemetry off"), &["telemetry status"]),
    ("DASHBOARD_DEBUG",
     || say!("the dashboard shows debug output"),
     || say!("switch it off"), &["dashboard debug disable"]),
    ("CEPHADM_* UPGRADE_*",
     || say!("cephadm manages this cluster and reports a fault"),
     || say!("see to it where cephadm runs"), &["orch status"]),
    ("OSD_UNREACHABLE",
     || say!("an OSD's public address is outside public_network, so clients may not reach it; a known false alarm with IPv6 in Squid"),
     || say!("compare the OSD's address with public_network"), &["osd dump", "config get osd public_network"]),
    ("OSD_OUT_OF_ORDER_FULL",
     || say!("the fullness ratios are not in their order nearfull, backfillfull, full"),
     || say!("set the ratios in order"), &["osd dump"]),
    ("OLD_CRUSH_TUNABLES OLD_CRUSH_STRAW_CALC_VERSION OSD_NO_SORTBITWISE",
     || say!("the cluster keeps an old placement"),
     || say!("plan the change, as it moves data"), &["osd crush show-tunables"]),
    ("OSD_UPGRADE_FINISHED",
     || say!("every OSD runs a newer release than the cluster requires"),
     || say!("let Rook finish the upgrade, which sets it"), &["versions"]),
    ("OSD_FILESTORE",
     || say!("an OSD uses filestore, which newer releases do not know"),
     || say!("make these OSDs again with bluestore, one failure domain at a time"), &["health detail"]),
    ("OSD_TOO_MANY_REPAIRS",
     || say!("an OSD repaired many reads: its disk is failing"),
     || say!("look at the disk (SMART, kernel log) and replace it"), &["health detail"]),
    ("BLUEFS_* BLUESTORE_FRAGMENTATION BLUESTORE_FREE_FRAGMENTATION",
     || say!("an OSD's own metadata has too little space"),
     || say!("give the OSD a larger metadata device, or make it again"), &["health detail"]),
    ("BLUESTORE_*",
     || say!("an OSD has an old format or an inconsistency"),
     || say!("repair these OSDs one by one; make one again where the size of its disk differs"), &["health detail"]),
    ("DEVICE_HEALTH DEVICE_HEALTH_IN_USE DEVICE_HEALTH_TOOMANY",
     || say!("disks are expected to fail"),
     || say!("replace them, one failure domain at a time"), &["device ls"]),
    ("PENDING_CREATING_PGS",
     || say!("placement groups cannot be created"),
     || say!("see whether OSDs are down or have too many placement groups"), &["pg dump_stuck"]),
    ("PG_RECOVERY_FULL PG_BACKFILL_FULL",
     || say!("OSDs are too full to recover data"),
     || say!("add OSDs or delete data"), &["osd df tree"]),
    ("OBJECT_MISPLACED",
     || say!("data is being moved"),
     || say!("wait"), &["status"]),
    ("LARGE_OMAP_OBJECTS",
     || say!("an object holds very many keys, often the index of a large bucket"),
     || say!("reshard the bucket"), &["health detail"]),
    ("POOL_NO_REDUNDANCY",
     || say!("a pool keeps one copy"),
     || say!("give it more copies, unless its data may be lost"), &["osd pool ls detail"]),
    ("PG_NOT_SCRUBBED PG_NOT_DEEP_SCRUBBED",
     || say!("placement groups were not compared for too long"),
     || say!("see whether scrubbing is switched off or has no time; set the intervals for the mgr too"), &["osd dump"]),
    ("PG_SLOW_SNAP_TRIMMING",
     || say!("deleted snapshots are not removed as fast as they come"),
     || say!("give trimming time, delete fewer snapshots at once"), &["pg stat"]),
    ("BLAUM_ROTH_W_IS_NOT_PRIME",
     || say!("an erasure-coded pool uses parameters that may lose data"),
     || say!("make the pool again with other parameters"), &["osd erasure-code-profile ls"]),
    ("NVMEOF_SINGLE_GATEWAY NVMEOF_GATEWAY_DELETING",
     || say!("a group of NVMe-oF gateways has too few of them"),
     || say!("give the group a second gateway, or let a deletion end"), &["health detail"]),
    ("MDS_READ_ONLY",
     || say!("an MDS met a write error and went read-only"),
     || say!("find the error of the metadata pool, then restart the MDS"), &["health detail"]),
    ("MDS_TRIM MDS_CACHE_OVERSIZED",
     || say!("an MDS is behind with its journal or its cache is too large"),
     || say!("look for slow OSDs of the metadata pool and for clients that hold too much"), &["fs status"]),
    ("MDS_SLOW_REQUEST",
     || say!("requests of an MDS are slow"),
     || say!("look at the OSDs of the metadata pool and the network to them"), &["osd perf"]),
    ("MDS_CLIENT_* MDS_CLIENTS_LAGGY",
     || say!("clients do not answer an MDS"),
     || say!("see which clients, and whether their nodes or the OSDs are slow"), &["health detail"]),
    ("MDS_CLIENTS_BROKEN_ROOTSQUASH",
     || say!("clients with a broken root_squash may lose data"),
     || say!("upgrade these clients"), &["health detail"]),
    ("MDS_ESTIMATED_REPLAY_TIME",
     || say!("an MDS replays its journal"),
     || say!("wait"), &["fs status"]),
    ("FS_INLINE_DATA_DEPRECATED",
     || say!("a filesystem uses inline data"),
     || say!("switch it off"), &["fs dump"]),
    ("CACHE_POOL_NO_HIT_SET CACHE_POOL_NEAR_FULL",
     || say!("a cache tier is not set up or nearly full"),
     || say!("remove the cache tier, which Ceph no longer develops"), &["osd pool ls detail"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_every_spelling() {
        for code in ["OSD_FILESTORE", "MDS_HEALTH_READ_ONLY", "MDS_READ_ONLY", "MDS_CLIENT_RECALL_MANY"] {
            assert!(meaning(code).is_some(), "{code}");
        }
        assert!(meaning("SOMETHING_NEW").is_none());
    }

    #[test]
    fn what_has_an_owner_has_no_row() {
        for (codes, ..) in TABLE {
            assert!(codes.split(' ').all(|code| super::super::owner(code).is_none()), "{codes}");
        }
    }
}
