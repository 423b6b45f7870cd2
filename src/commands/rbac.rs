//! `rbac`: the least roles, and what the user lacks of them.

mod check;

use super::print;
use crate::cli::{Cli, Format, Rbac};
use crate::exit::{Exit, Failed};
use crate::rbac::manifests::{Wanted, list, manifests};
use crate::rbac::{Places, Reach, Role, blind};
use crate::report::json;
use crate::screen::Screen;

/// The namespace that Rook's own manifests use.
const NAMESPACE: &str = "rook-ceph";
/// Longest line of a comment.
const WIDTH: usize = 100;

pub(super) fn run(cli: &Cli, flags: &Rbac, screen: &Screen) -> Result<Exit, Failed> {
    if flags.check {
        return check::run(cli, flags, screen);
    }
    let wanted = Wanted {
        places: asked_for(cli, flags),
        roles: roles(flags),
        reach: reach(flags),
        subjects: flags.subject.clone(),
    };
    let manifests = manifests(&wanted);
    match cli.output.output {
        // Who pipes it into kubectl gets what people read: it is YAML with comments.
        Format::Human | Format::Yaml => {
            let mut text = comment(&about(&wanted));
            for manifest in &manifests {
                text += "---\n";
                text += &json::yaml(manifest)?;
            }
            screen.write(&text)?;
        }
        format => print(screen, format, &list(&manifests), ToString::to_string)?,
    }
    Ok(Exit::Healthy)
}

/// The namespaces that the command line means.
fn asked_for(cli: &Cli, flags: &Rbac) -> Places {
    let cluster = cli.source.namespace.as_deref().unwrap_or(NAMESPACE);
    Places::new(cluster, cli.source.operator_namespace.as_deref().unwrap_or(cluster), &flags.also)
}

fn roles(flags: &Rbac) -> Vec<Role> {
    // Plans ask Ceph whether a daemon may stop.
    match (flags.fix, flags.exec) {
        (true, _) => vec![Role::Read, Role::Exec, Role::Fix],
        (false, true) => vec![Role::Read, Role::Exec],
        (false, false) => vec![Role::Read],
    }
}

fn reach(flags: &Rbac) -> Reach {
    if flags.namespace_only { Reach::Namespaces } else { Reach::Cluster }
}

/// What one must know before applying it: what it is for, what it does not give, and what is blind then.
fn about(wanted: &Wanted) -> Vec<String> {
    let Wanted { places, roles, reach, subjects } = wanted;
    let own = places.own().join(" and ");
    let mut about = vec![format!(
        "What kubectl-rookdoctor {} needs at least, for the CephCluster in {} and its operator in {}.",
        env!("CARGO_PKG_VERSION"),
        places.cluster,
        places.operator
    )];
    about.push(
        "rookdoctor-read: to diagnose and to capture. It reads no Secrets and changes nothing. What capture --all reads \
         beyond that is not in it."
            .into(),
    );
    about.push(if roles.contains(&Role::Exec) {
        "rookdoctor-exec: to ask Ceph, by commands in the pods of the cluster and its operator. Whoever has it can \
         read the keyrings there: bind it with care."
            .into()
    } else {
        format!(
            "Without pods/exec, which is left out here because it reaches keyrings, Ceph itself is not asked, and what \
             it would say is unknown (--exec adds it): {}.",
            without(&[Role::Read], &[Role::Read, Role::Exec], places, *reach)
        )
    });
    if roles.contains(&Role::Fix) {
        about.push(
            "rookdoctor-fix: to carry plans out (fix), with the Lease that keeps two of them apart, and Events. It \
             deletes pods, but only of the namespaces that are named here; what a plan needs beyond that, it says."
                .into(),
        );
    }
    if *reach == Reach::Namespaces {
        let granted = [Role::Read, Role::Exec];
        about.push(format!(
            "Nothing outside {own} is read (--namespace-only). Always diagnose with -n {}{}. Unknown then, wholly or in part: {}.",
            places.cluster,
            if places.cluster == places.operator {
                String::new()
            } else {
                format!(" --operator-namespace {}", places.operator)
            },
            list_of(&blind::with_only(&granted, places, Reach::Namespaces))
        ));
    } else {
        about.push(format!(
            "Multus, whereabouts and Kube-OVN are expected in {}; --also NAMESPACE adds another.",
            places.ground.join(", ")
        ));
    }
    about.push(
        "API discovery and questions for one's own permissions are not in it: system:discovery and system:basic-user \
         give them to every user."
            .into(),
    );
    if subjects.is_empty() {
        about.push("Nobody has these roles yet: --subject user:NAME prints the bindings, too.".into());
    }
    about
}

/// The checks that the second of these roles open and the first do not.
pub(super) fn without(these: &[Role], those: &[Role], places: &Places, reach: Reach) -> String {
    let with = blind::with_only(those, places, reach);
    let lost = blind::with_only(these, places, reach).into_iter().filter(|code| !with.contains(code));
    list_of(&lost.collect::<Vec<_>>())
}

fn list_of(codes: &[&str]) -> String {
    codes.join(", ")
}

pub(super) fn comment(paragraphs: &[String]) -> String {
    let options = textwrap::Options::new(WIDTH).initial_indent("# ").subsequent_indent("#   ");
    let lines = paragraphs.iter().flat_map(|text| textwrap::wrap(text, &options));
    lines.map(|line| format!("{line}\n")).collect()
}
