//! The configuration of a NetworkAttachmentDefinition, and the annotations of pods that name networks.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use rookdoctor::objects::kube::Pod;
use rookdoctor::objects::multus::{NETWORK_STATUS, NETWORKS, NetworkAttachment, interfaces, wanted_networks};
use serde_json::json;

/// A cluster whose storage network is a NetworkAttachmentDefinition, and where it lies.
const CLUSTER: &str = "story1-nad-default-route";
const NADS: &str = "namespaces/rook-ceph/k8s.cni.cncf.io/network-attachment-definitions.yaml";

fuzz_target!(|config: String| {
    let mut nad = NetworkAttachment::default();
    nad.spec.config.clone_from(&config);
    let ipam = nad.ipam();
    for span in ipam.spans() {
        let _ = (span.size(), span.meets(&span));
    }
    let _ = (nad.cni_name(), ipam.subnets(), ipam.gateways());
    for plugin in nad.plugins().unwrap_or_default() {
        drop(format!("{plugin:?}"));
    }
    let mut pod = Pod::default();
    pod.metadata.annotations.extend([NETWORKS, NETWORK_STATUS].map(|key| (key.to_owned(), config.clone())));
    let _ = (
        wanted_networks(&pod),
        interfaces(&pod).map(|all| all.map(|all| all.iter().flat_map(|one| one.addresses()).count())),
    );

    let at = rookdoctor::examples::ALL.iter().position(|example| example.name == CLUSTER).expect("the example");
    let mut tree = common::CLUSTERS[at].clone();
    let mut nads = tree.file(NADS).and_then(|file| file.objects().ok()).expect("the example has one");
    for nad in &mut nads {
        nad["spec"]["config"] = json!(config);
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": nads});
    tree.write(NADS, list.to_string().into_bytes());
    common::run(tree);
});
