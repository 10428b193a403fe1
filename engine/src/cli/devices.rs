//! `graft devices`.

use crate::device;

use super::{Done, line};

pub(super) fn run(json: bool) -> anyhow::Result<Done> {
    // A backend that cannot start may panic; what it said stands in its row.
    let rows = device::list();
    if json {
        line(&serde_json::to_string(&rows)?)?;
        return Ok(Done::Well);
    }
    for row in rows {
        let state = row.reason.as_deref().unwrap_or("ready");
        line(&format!("{:<8} {:<38} {state}", row.name, row.description))?;
    }
    Ok(Done::Well)
}
