//! OSDs.

pub mod device_skipped;
pub mod osd_down;
pub mod osd_flags_left;
pub mod osd_missing;
pub mod osd_prepare_failed;
pub mod osd_restarted_needlessly;
pub mod osd_slow_heartbeat;
pub mod osds_not_deployed;
