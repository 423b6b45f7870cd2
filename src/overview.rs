//! Tables of what there is, beside the findings, which say what is wrong. `-v` asks for them.

pub mod devices;
pub mod inventory;
pub mod ports;

use crate::check::Check;
use crate::facts::{Facts, Gap, Row, Unknown};
use crate::lang::Text;

/// One table. Like a check it is a pure function of facts, and what it lacks it wants.
pub struct Overview {
    /// What `-o json` calls it.
    pub name: &'static str,
    pub title: &'static str,
    /// It is made when this check is among those that are asked.
    pub beside: &'static Check,
    pub columns: &'static [&'static str],
    /// Cluster-level reads, asked for ahead.
    pub needs: &'static [Row],
    pub run: fn(&Facts<'_>) -> Result<Listing, Gap>,
}

impl std::fmt::Debug for Overview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The rows of an overview and, beside them, what could not be seen.
#[derive(Debug, Default)]
pub struct Listing {
    pub rows: Vec<Vec<Text>>,
    pub blind: Vec<Unknown>,
}

/// Every overview, from the ground up.
pub static ALL: &[&Overview] = &[&inventory::OVERVIEW, &devices::OVERVIEW, &ports::OVERVIEW];

/// Those that belong to these checks.
pub fn of(checks: &[&'static Check]) -> Vec<&'static Overview> {
    ALL.iter().copied().filter(|overview| checks.contains(&overview.beside)).collect()
}
