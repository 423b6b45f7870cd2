use crate::check;
use crate::check::Answered;
use crate::facts::{Facts, Gap};

check! {
    /// # What it looks at
    "OVN002" "ovs-ovn-unhealthy" Ovn,
    needs: [],
    explained_by: [],
}

fn run(_facts: &Facts<'_>) -> Result<Answered, Gap> {
    Ok(Answered::NotApplicable("not written yet"))
}
