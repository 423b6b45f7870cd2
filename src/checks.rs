//! The registry: every check, by area, in the order of the catalogue.

pub mod access;
pub mod ceph;
pub mod csi;
pub mod ext;
pub mod ground;
pub mod img;
pub mod mon;
pub mod net;
pub mod node;
pub mod opr;
pub mod osd;
pub mod ovn;

use crate::check::Check;

/// Every check, in the order of the catalogue.
pub static ALL: &[&Check] = &[
    &access::api_unreachable::CHECK,
    &access::permission_missing::CHECK,
    &access::rook_not_installed::CHECK,
    &access::cephcluster_missing::CHECK,
    &access::ceph_command_unavailable::CHECK,
    &access::webhook_dead::CHECK,
    &node::node_not_ready::CHECK,
    &node::node_pressure::CHECK,
    &node::node_rebooted::CHECK,
    &node::node_clock_skew::CHECK,
    &node::kernel_too_old::CHECK,
    &node::cluster_dns_failing::CHECK,
    &node::cni_not_ready::CHECK,
    &node::daemon_unschedulable::CHECK,
    &node::memory_limit_too_small::CHECK,
    &node::image_pull_failing::CHECK,
    &node::drain_blocked::CHECK,
    &node::host_limits::CHECK,
    &node::pods_not_created::CHECK,
    &node::service_proxy_down::CHECK,
    &net::multus_missing::CHECK,
    &net::multus_init_crash::CHECK,
    &net::multus_daemon_down::CHECK,
    &net::nad_missing::CHECK,
    &net::nad_invalid::CHECK,
    &net::nad_default_route::CHECK,
    &net::nad_gateway::CHECK,
    &net::nad_host_local_shared::CHECK,
    &net::attachment_missing::CHECK,
    &net::sandbox_failing::CHECK,
    &ovn::ovn_central_down::CHECK,
    &ovn::ovs_ovn_unhealthy::CHECK,
    &ovn::kube_ovn_cni_unhealthy::CHECK,
    &ovn::kube_ovn_controller_unhealthy::CHECK,
    &ovn::pinger_failing::CHECK,
    &ovn::vpc_nat_gateway_failing::CHECK,
    &ovn::stale_after_reboot::CHECK,
    &opr::operator_down::CHECK,
    &opr::operator_crashing::CHECK,
    &opr::operator_cannot_reach_mons::CHECK,
    &opr::reconcile_failing::CHECK,
    &opr::reconcile_stalled::CHECK,
    &opr::do_not_reconcile_left::CHECK,
    &opr::operator_config_ignored::CHECK,
    &opr::deletion_blocked::CHECK,
    &opr::version_unsupported::CHECK,
    &opr::detect_version_failing::CHECK,
    &opr::namespace_not_watched::CHECK,
    &opr::operator_rights_or_crds_stale::CHECK,
    &opr::two_operators::CHECK,
    &mon::quorum_lost::CHECK,
    &mon::mon_out_of_quorum::CHECK,
    &mon::mons_start_slowly::CHECK,
    &mon::mon_not_running::CHECK,
    &mon::mon_unschedulable::CHECK,
    &mon::mon_count_unsafe::CHECK,
    &mon::all_mons_down::CHECK,
    &osd::osds_not_deployed::CHECK,
    &osd::osd_prepare_failed::CHECK,
    &osd::device_skipped::CHECK,
    &osd::osd_missing::CHECK,
    &osd::osd_down::CHECK,
    &osd::osd_slow_heartbeat::CHECK,
    &osd::osd_flags_left::CHECK,
    &osd::osd_restarted_needlessly::CHECK,
    &ceph::health_code::CHECK,
    &ceph::pool_application_missing::CHECK,
    &ceph::pgs_unavailable::CHECK,
    &ceph::pgs_degraded::CHECK,
    &ceph::mgr_down::CHECK,
    &ceph::mds_down::CHECK,
    &csi::driver_missing::CHECK,
    &csi::controller_unhealthy::CHECK,
    &csi::node_plugin_unhealthy::CHECK,
    &csi::csi_addons_port_conflict::CHECK,
    &csi::host_port_conflict::CHECK,
    &csi::driver_not_registered::CHECK,
    &csi::driver_name_mismatch::CHECK,
    &csi::secret_reference_broken::CHECK,
    &csi::cluster_config_stale::CHECK,
    &csi::provisioning_failing::CHECK,
    &csi::mount_failing::CHECK,
    &csi::volume_stuck_attached::CHECK,
    &csi::client_fenced::CHECK,
    &csi::backend_missing::CHECK,
    &csi::two_layouts::CHECK,
    &csi::csi_operator_down::CHECK,
    &csi::volume_operation_failing::CHECK,
    &img::ceph_versions_mixed::CHECK,
    &img::image_overridden::CHECK,
    &ext::external_not_connected::CHECK,
    &ext::external_unreachable::CHECK,
    &ext::external_credentials_wrong::CHECK,
    &ext::external_endpoints_stale::CHECK,
];

/// Codes that existed once and are never reused, each with the check that took over.
pub const RETIRED: &[(&str, &str)] = &[("OSD015", "CEPH006")];
