//! What Ceph's health codes mean and what to do, for those that no check of their own reports.

/// One code, for a person.
pub(super) struct Meaning {
    pub means: &'static str,
    pub remedy: &'static str,
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
    Some(Meaning { means, remedy, commands, taste: TASTE.contains(&code.as_str()) })
}

/// `*` at the end stands for any rest.
fn matches(known: &str, code: &str) -> bool {
    known.strip_suffix('*').map_or(known == code, |prefix| code.starts_with(prefix))
}

const TASTE: &[&str] =
    &["TELEMETRY_CHANGED", "DASHBOARD_DEBUG", "OBJECT_MISPLACED", "POOL_NO_REDUNDANCY", "POOL_PG_NUM_NOT_POWER_OF_TWO"];

type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("MON_MSGR2_NOT_ENABLED",
     "a monitor has no v2 address",
     "enable msgr2, unless old clients are the reason", &["mon enable-msgr2"]),
    ("AUTH_INSECURE_*",
     "keys or tickets use the old cipher aes; it holds the cluster in its health state without any outage",
     "rotate the keys through spec.security.cephx of the CephCluster, daemons before clients, then restrict the ciphers", &["health detail"]),
    ("AUTH_BAD_CAPS",
     "a user's capabilities cannot be read",
     "correct them with ceph auth caps", &["health detail"]),
    ("AUTH_EMERGENCY_CIPHERS_SET",
     "the override for emergencies is active",
     "take it back when the emergency is over", &["config dump"]),
    ("OSD_NO_DOWN_OUT_INTERVAL",
     "an OSD that stays down is never marked out, and its data is never copied elsewhere",
     "take the setting back to its default", &["config rm global mon_osd_down_out_interval"]),
    ("DEGRADED_STRETCH_MODE RECOVERING_STRETCH_MODE",
     "one site of a stretch cluster is lost or coming back",
     "bring the site back and wait for recovery", &["osd tree"]),
    ("INCORRECT_NUM_BUCKETS_STRETCH_MODE UNEVEN_WEIGHTS_STRETCH_MODE STRETCH_MODE_BUCKET_WEIGHT_IMBALANCE NONEXISTENT_MON_CRUSH_LOC_STRETCH_MODE",
     "the CRUSH tree does not fit stretch mode",
     "make the two sites equal in the CRUSH tree", &["osd tree"]),
    ("TELEMETRY_CHANGED",
     "what telemetry sends has changed",
     "agree again, or switch telemetry off", &["telemetry status"]),
    ("DASHBOARD_DEBUG",
     "the dashboard shows debug output",
     "switch it off", &["dashboard debug disable"]),
    ("CEPHADM_* UPGRADE_*",
     "cephadm manages this cluster and reports a fault",
     "see to it where cephadm runs", &["orch status"]),
    ("OSD_UNREACHABLE",
     "an OSD's public address is outside public_network, so clients may not reach it; a known false alarm with IPv6 in Squid",
     "compare the OSD's address with public_network", &["osd dump", "config get osd public_network"]),
    ("OSD_OUT_OF_ORDER_FULL",
     "the fullness ratios are not in their order nearfull, backfillfull, full",
     "set the ratios in order", &["osd dump"]),
    ("OLD_CRUSH_TUNABLES OLD_CRUSH_STRAW_CALC_VERSION OSD_NO_SORTBITWISE",
     "the cluster keeps an old placement",
     "plan the change, as it moves data", &["osd crush show-tunables"]),
    ("OSD_UPGRADE_FINISHED",
     "every OSD runs a newer release than the cluster requires",
     "let Rook finish the upgrade, which sets it", &["versions"]),
    ("OSD_FILESTORE",
     "an OSD uses filestore, which newer releases do not know",
     "make these OSDs again with bluestore, one failure domain at a time", &["health detail"]),
    ("OSD_TOO_MANY_REPAIRS",
     "an OSD repaired many reads: its disk is failing",
     "look at the disk (SMART, kernel log) and replace it", &["health detail"]),
    ("BLUEFS_* BLUESTORE_FRAGMENTATION BLUESTORE_FREE_FRAGMENTATION",
     "an OSD's own metadata has too little space",
     "give the OSD a larger metadata device, or make it again", &["health detail"]),
    ("BLUESTORE_*",
     "an OSD has an old format or an inconsistency",
     "repair these OSDs one by one; make one again where the size of its disk differs", &["health detail"]),
    ("DEVICE_HEALTH DEVICE_HEALTH_IN_USE DEVICE_HEALTH_TOOMANY",
     "disks are expected to fail",
     "replace them, one failure domain at a time", &["device ls"]),
    ("PENDING_CREATING_PGS",
     "placement groups cannot be created",
     "see whether OSDs are down or have too many placement groups", &["pg dump_stuck"]),
    ("PG_RECOVERY_FULL PG_BACKFILL_FULL",
     "OSDs are too full to recover data",
     "add OSDs or delete data", &["osd df tree"]),
    ("OBJECT_MISPLACED",
     "data is being moved",
     "wait", &["status"]),
    ("LARGE_OMAP_OBJECTS",
     "an object holds very many keys, often the index of a large bucket",
     "reshard the bucket", &["health detail"]),
    ("POOL_NO_REDUNDANCY",
     "a pool keeps one copy",
     "give it more copies, unless its data may be lost", &["osd pool ls detail"]),
    ("PG_NOT_SCRUBBED PG_NOT_DEEP_SCRUBBED",
     "placement groups were not compared for too long",
     "see whether scrubbing is switched off or has no time; set the intervals for the mgr too", &["osd dump"]),
    ("PG_SLOW_SNAP_TRIMMING",
     "deleted snapshots are not removed as fast as they come",
     "give trimming time, delete fewer snapshots at once", &["pg stat"]),
    ("BLAUM_ROTH_W_IS_NOT_PRIME",
     "an erasure-coded pool uses parameters that may lose data",
     "make the pool again with other parameters", &["osd erasure-code-profile ls"]),
    ("NVMEOF_SINGLE_GATEWAY NVMEOF_GATEWAY_DELETING",
     "a group of NVMe-oF gateways has too few of them",
     "give the group a second gateway, or let a deletion end", &["health detail"]),
    ("MDS_READ_ONLY",
     "an MDS met a write error and went read-only",
     "find the error of the metadata pool, then restart the MDS", &["health detail"]),
    ("MDS_TRIM MDS_CACHE_OVERSIZED",
     "an MDS is behind with its journal or its cache is too large",
     "look for slow OSDs of the metadata pool and for clients that hold too much", &["fs status"]),
    ("MDS_SLOW_REQUEST",
     "requests of an MDS are slow",
     "look at the OSDs of the metadata pool and the network to them", &["osd perf"]),
    ("MDS_CLIENT_* MDS_CLIENTS_LAGGY",
     "clients do not answer an MDS",
     "see which clients, and whether their nodes or the OSDs are slow", &["health detail"]),
    ("MDS_CLIENTS_BROKEN_ROOTSQUASH",
     "clients with a broken root_squash may lose data",
     "upgrade these clients", &["health detail"]),
    ("MDS_ESTIMATED_REPLAY_TIME",
     "an MDS replays its journal",
     "wait", &["fs status"]),
    ("FS_INLINE_DATA_DEPRECATED",
     "a filesystem uses inline data",
     "switch it off", &["fs dump"]),
    ("CACHE_POOL_NO_HIT_SET CACHE_POOL_NEAR_FULL",
     "a cache tier is not set up or nearly full",
     "remove the cache tier, which Ceph no longer develops", &["osd pool ls detail"]),
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
