//! The ground: nodes, clocks, DNS.

pub mod cluster_dns_failing;
pub mod cni_not_ready;
pub mod daemon_unschedulable;
pub mod drain_blocked;
pub mod image_pull_failing;
pub mod memory_limit_too_small;
pub mod node_clock_skew;
pub mod node_not_ready;
pub mod node_rebooted;
