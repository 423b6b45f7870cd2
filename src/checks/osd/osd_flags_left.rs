use crate::check;
use crate::check::Answered;
use crate::facts::{Facts, Gap};

check! {
    /// # What it looks at
    "OSD011" "osd-flags-left" Osd,
    needs: [],
    explained_by: [],
}

fn run(_facts: &Facts<'_>) -> Result<Answered, Gap> {
    Ok(Answered::NotApplicable("not written yet"))
}
