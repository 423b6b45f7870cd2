use super::{StorageNetwork, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Text};
use crate::facts::{Facts, Gap};
use crate::objects::multus::{NetworkAttachment, Plugin};
use crate::say;

check! {
    /// # What it looks at
    /// The `spec.config` of the NetworkAttachmentDefinitions that the CephCluster names: JSON at all, a plugin
    /// with a type, a mode that the plugin knows, and addresses from a subnet that can be read.
    ///
    /// # Why it matters
    /// The API server takes any text here; only the plugin on the node looks at it. A configuration that it
    /// refuses keeps every daemon of the network in ContainerCreating; one without addresses gives an
    /// interface that Ceph cannot use, and the operator's canary job finds no network.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get net-attach-def <name> -o jsonpath='{.spec.config}' | jq .`
    ///
    /// # Fix
    /// Correct the text; pods that hang try again by themselves, running ones keep their interface.
    ///
    /// # References
    /// CNI specification, "Network configuration format"; plugins macvlan, ipvlan, host-local, whereabouts.
    "NET006" "nad-invalid" Net,
    needs: [Discovery, CephClusters, NetworkAttachments],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let fault = |network: &StorageNetwork<'_>| Some(finding(network, fault(network.attachment?)?));
    Ok(Answered::judged(networks.iter().filter_map(fault).collect()))
}

/// What is wrong, and the text that shows it.
fn fault(attachment: &NetworkAttachment) -> Option<(Text, String)> {
    let config = attachment.spec.config.trim();
    if config.is_empty() {
        // Multus then takes the file of that name on the node, which is not to be seen from here.
        return None;
    }
    let quoted: String = config.chars().take(120).collect();
    match attachment.plugins() {
        Err(error) => Some((say!("it is not a CNI configuration ({})", error), quoted)),
        Ok(plugins) => match plugins.first() {
            None => Some((say!("its list of plugins is empty"), quoted)),
            Some(first) => plugin_fault(first).map(|what| (what, quoted)),
        },
    }
}

/// The first plugin makes the interface and owns the addresses.
fn plugin_fault(plugin: &Plugin) -> Option<Text> {
    let Plugin { kind, mode, ipam, .. } = plugin;
    let modes: &[&str] = match kind.as_str() {
        "" => return Some(say!("its first plugin has no type")),
        "macvlan" => &["bridge", "private", "vepa", "passthru"],
        "ipvlan" => &["l2", "l3", "l3s"],
        _ => &[],
    };
    if !mode.is_empty() && !modes.is_empty() && !modes.contains(&mode.as_str()) {
        return Some(say!("{} knows no mode {}, only {}", kind, format!("{mode:?}"), modes.join(", ")));
    }
    let needs_ipam =
        ["macvlan", "ipvlan", "bridge", "host-device", "sriov", "ib-sriov", "vlan"].contains(&kind.as_str());
    match ipam.kind.as_str() {
        "" if needs_ipam => Some(say!("{} has no ipam, so daemons get an interface without an address", kind)),
        "host-local" | "whereabouts" if ipam.subnets().is_empty() => {
            Some(say!("the ipam {} has no subnet that can be read", ipam.kind))
        }
        _ => None,
    }
}

fn finding(network: &StorageNetwork<'_>, (what, quoted): (Text, String)) -> Finding {
    let object = network.object();
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let remedy = Remedy::guided(say!("correct spec.config; pods that hang try again by themselves"))
        .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
        .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    let summary = say!("the {} network {} cannot be used: {}", network.role, network.selection.full_name(), what);
    Finding::critical(object.clone(), summary, remedy).at([network.place()]).evidence([Evidence::field(
        &object,
        "spec.config",
        quoted,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_configuration() {
        for (config, expected) in [
            (r#"{"type":"macvlan","mode":"bridge","ipam":{"type":"whereabouts","range":"10.0.0.0/24"}}"#, None),
            (
                r#"{"plugins":[{"type":"macvlan","ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24"}]]}},{"type":"sbr"}]}"#,
                None,
            ),
            (r#"{"type":"macvlan","ipam":{"type":"whereabouts","range":"10.0.0.5-10.0.0.9/24"}}"#, None),
            (r#"{"type":"kube-ovn","provider":"public.rook-ceph.ovn"}"#, None),
            (r#"{"type":"macvlan","ipam":{"type":"kube-ovn"}}"#, None),
            ("", None),
            ("{type: macvlan}", Some("not a CNI configuration")),
            (r#"{"mode":"bridge"}"#, Some("no type")),
            (r#"{"plugins":[]}"#, Some("empty")),
            (r#"{"type":"macvlan","mode":"brigde","ipam":{"type":"dhcp"}}"#, Some("no mode")),
            (r#"{"type":"ipvlan","mode":"l2"}"#, Some("no ipam")),
            (r#"{"type":"macvlan","ipam":{"type":"host-local","subnet":"10.0.0/24"}}"#, Some("no subnet")),
        ] {
            let mut nad = NetworkAttachment::default();
            nad.spec.config = config.to_owned();
            let found = fault(&nad).map(|(what, _)| what.english());
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{config}: {found}"),
                (found, _) => panic!("{config}: {found:?}"),
            }
        }
    }
}
