//! `version`

use serde::Serialize;

use crate::cli::Format;
use crate::report::ApiVersion;
use crate::screen::Screen;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    report: ApiVersion,
    checks: usize,
}

pub(super) fn run(format: Format, screen: &Screen) -> anyhow::Result<()> {
    let version =
        Version { version: env!("CARGO_PKG_VERSION"), report: ApiVersion::V1, checks: crate::checks::ALL.len() };
    super::print(screen, format, &version, |version| format!("kubectl-rookdoctor {}\n", version.version))
}
