//! Monitors.

pub mod all_mons_down;
pub mod mon_count_unsafe;
pub mod mon_not_running;
pub mod mon_out_of_quorum;
pub mod mon_unschedulable;
pub mod mons_start_slowly;
pub mod quorum_lost;
