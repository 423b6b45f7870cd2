//! What keeps a pod from running or from being reached, whichever pod it is: the lower half of the tree.

use super::{net, node, ovn};
use crate::check::{Check, Scope};

/// The causes that every check marked `in_pod` shares.
pub static CAUSES: &[(&Check, Scope)] = &[
    (&node::node_not_ready::CHECK, Scope::Node),
    (&node::node_pressure::CHECK, Scope::Node),
    (&node::node_rebooted::CHECK, Scope::Node),
    (&node::cni_not_ready::CHECK, Scope::Node),
    (&node::daemon_unschedulable::CHECK, Scope::Daemon),
    (&node::daemon_unschedulable::CHECK, Scope::Object),
    (&node::memory_limit_too_small::CHECK, Scope::Daemon),
    (&node::memory_limit_too_small::CHECK, Scope::Object),
    (&node::image_pull_failing::CHECK, Scope::Daemon),
    (&node::image_pull_failing::CHECK, Scope::Object),
    (&node::host_limits::CHECK, Scope::Daemon),
    (&node::host_limits::CHECK, Scope::Object),
    (&node::pods_not_created::CHECK, Scope::Daemon),
    (&node::pods_not_created::CHECK, Scope::Object),
    (&node::service_proxy_down::CHECK, Scope::Node),
    (&net::multus_missing::CHECK, Scope::Node),
    (&net::multus_init_crash::CHECK, Scope::Node),
    (&net::multus_daemon_down::CHECK, Scope::Node),
    (&net::multus_unauthorized::CHECK, Scope::Node),
    (&net::cni_start_order::CHECK, Scope::Node),
    (&net::attachment_missing::CHECK, Scope::Daemon),
    (&net::network_policy_blocks::CHECK, Scope::Daemon),
    (&net::sandbox_failing::CHECK, Scope::Node),
    (&net::nad_range_exhausted::CHECK, Scope::Node),
    (&net::nad_master_missing::CHECK, Scope::Node),
    (&net::cni_plugin_missing::CHECK, Scope::Node),
    (&ovn::ovn_central_down::CHECK, Scope::Cluster),
    (&ovn::ovs_ovn_unhealthy::CHECK, Scope::Node),
    (&ovn::kube_ovn_cni_unhealthy::CHECK, Scope::Node),
    (&ovn::kube_ovn_controller_unhealthy::CHECK, Scope::Cluster),
    (&ovn::stale_after_reboot::CHECK, Scope::Node),
    (&ovn::ovn_database_broken::CHECK, Scope::Daemon),
    (&ovn::stale_chassis::CHECK, Scope::Node),
];
