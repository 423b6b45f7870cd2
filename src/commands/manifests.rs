//! `manifests`: what a cluster needs to diagnose itself on a schedule.

use std::path::Path;

use super::print;
use super::rbac::{comment, without};
use crate::cli::{Cli, Format, Manifests, NO_LIMIT};
use crate::exit::{Exit, Failed};
use crate::manifests::{Manifest, Textfile, Wanted, kustomize, objects};
use crate::publish::is_name;
use crate::rbac::manifests::list;
use crate::rbac::{Places, Reach, Role};
use crate::report::json;
use crate::screen::Screen;

/// The namespace that Rook's own manifests use.
const NAMESPACE: &str = "rook-ceph";

pub(super) fn run(cli: &Cli, flags: &Manifests, screen: &Screen) -> Result<Exit, Failed> {
    let wanted = wanted(cli, flags).map_err(|wrong| Failed::usage(anyhow::anyhow!(wrong)))?;
    let manifests = objects(&wanted);
    if let Some(folder) = &flags.kustomize {
        write(folder, &wanted, &manifests, screen).map_err(Failed::usage)?;
        return Ok(Exit::Healthy);
    }
    match cli.output.output {
        // Who pipes it into kubectl gets what people read: it is YAML with comments.
        Format::Human | Format::Yaml => {
            let mut text = comment(&about(&wanted));
            for manifest in &manifests {
                text += "---\n";
                text += &document(manifest)?;
            }
            screen.write(&text)?;
        }
        format => {
            let objects: Vec<_> = manifests.iter().map(|manifest| manifest.object.clone()).collect();
            print(screen, format, &list(&objects), ToString::to_string)?;
        }
    }
    Ok(Exit::Healthy)
}

fn wanted(cli: &Cli, flags: &Manifests) -> Result<Wanted, String> {
    let cluster = cli.source.namespace.as_deref().unwrap_or(NAMESPACE);
    let operator = cli.source.operator_namespace.as_deref().unwrap_or(cluster);
    let into = flags.into.as_deref().unwrap_or(cluster);
    let names = [cluster, operator, into].into_iter().chain(flags.also.iter().map(String::as_str));
    if let Some(wrong) = names.into_iter().find(|name| !is_name(name)) {
        return Err(format!("{wrong:?} is no name of a namespace"));
    }
    if cli.source.timeout >= NO_LIMIT {
        return Err("a run on a schedule must end: give it a --timeout".into());
    }
    let textfile = flags.textfile_folder.clone().zip(flags.node.clone());
    Ok(Wanted {
        places: Places::new(cluster, operator, &flags.also),
        into: into.to_owned(),
        create_namespace: flags.create_namespace,
        exec: flags.exec,
        schedule: flags.schedule.clone(),
        image: flags.image.clone(),
        priority_class: flags.priority_class.clone(),
        timeout_seconds: cli.source.timeout.as_secs().max(1),
        push: flags.push.clone(),
        textfile: textfile.map(|(folder, node)| Textfile { folder, node }),
        api_port: flags.api_port,
    })
}

fn document(manifest: &Manifest) -> anyhow::Result<String> {
    Ok(comment(&manifest.about) + &json::yaml(&manifest.object)?)
}

fn write(folder: &Path, wanted: &Wanted, manifests: &[Manifest], screen: &Screen) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for manifest in manifests {
        files.push((kustomize::file_name(&manifest.object), document(manifest)?));
    }
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut about = about(wanted);
    about.push(kustomize::ABOUT.into());
    files.push(("kustomization.yaml".into(), comment(&about) + &json::yaml(&kustomize::kustomization(&names))?));
    kustomize::write(folder, &files)?;
    let folder = folder.display();
    screen.show(&format!("wrote {} files to {folder}\napply them: kubectl apply -k {folder}\n", files.len()))?;
    Ok(())
}

/// What one must know before applying it.
fn about(wanted: &Wanted) -> Vec<String> {
    let Wanted { places, into, .. } = wanted;
    let mut about = vec![format!(
        "kubectl-rookdoctor {} on a schedule, in {into}, for the CephCluster in {} and its operator in {}: it reads, \
         and writes the ConfigMap rookdoctor-report and Events.",
        env!("CARGO_PKG_VERSION"),
        places.cluster,
        places.operator
    )];
    about.push(if wanted.exec {
        "rookdoctor-exec lets it ask Ceph, by commands in the pods of the cluster and its operator. Whoever may make \
         pods in this namespace can take its ServiceAccount, and with it read the keyrings there."
            .into()
    } else {
        format!(
            "Without pods/exec, which is left out here because it reaches keyrings, Ceph itself is not asked, and what \
             it would say is unknown (--exec adds it): {}.",
            without(&[Role::Read], &[Role::Read, Role::Exec], places, Reach::Cluster)
        )
    });
    about.push(format!(
        "The image is {}: made of .ci/Containerfile; --image names that of your registry.",
        wanted.image
    ));
    about
}
