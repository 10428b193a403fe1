//! Which runs the table shows, in which order.

use std::cmp::Ordering;

use crate::library::Row;
use crate::view::{Column, RunsView};

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// A sweep's name, with its runs below.
    Sweep(&'a str, Vec<&'a Row>),
    /// A run; whether it stands below a sweep's name.
    Run(&'a Row, bool),
}

/// The runs that the filter lets through, sorted; runs of a sweep stand together where the first of them would.
pub(super) fn shown<'a>(rows: &'a [Row], view: &RunsView) -> Vec<Line<'a>> {
    let words: Vec<String> = view.filter.split_whitespace().map(str::to_lowercase).collect();
    let mut rows: Vec<&Row> = rows.iter().filter(|row| matches(row, &words)).collect();
    rows.sort_by(|a, b| {
        let order = compare(a, b, view.sort, view.ascending);
        order.then_with(|| stamp(b).cmp(stamp(a))).then_with(|| a.entry.id.cmp(&b.entry.id))
    });
    let mut lines = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for row in &rows {
        let Some(mark) = &row.entry.sweep else {
            lines.push(Line::Run(row, false));
            continue;
        };
        if done.contains(&mark.sweep.as_str()) {
            continue;
        }
        done.push(&mark.sweep);
        let own = |row: &&&'a Row| row.entry.sweep.as_ref().is_some_and(|other| other.sweep == mark.sweep);
        let members: Vec<&Row> = rows.iter().filter(own).copied().collect();
        lines.push(Line::Sweep(&mark.sweep, members.clone()));
        lines.extend(members.into_iter().map(|row| Line::Run(row, true)));
    }
    lines
}

/// Day and time to the second, as the folder's name ends; the column tells minutes only.
fn stamp(row: &Row) -> &str {
    let id = &row.entry.id;
    id.get(id.len().saturating_sub(15)..).unwrap_or(id)
}

/// Every word must be somewhere in what is known of a run.
fn matches(row: &Row, words: &[String]) -> bool {
    let entry = &row.entry;
    let mut text = format!(
        "{} {} {} {} {} {} ",
        entry.id,
        entry.project,
        entry.device,
        entry.state.word(),
        entry.began,
        row.notes.note
    );
    text += &row.notes.tags.join(" ");
    if let Some(mark) = &entry.sweep {
        text += " ";
        text += &mark.sweep;
        text += " ";
        text += &mark.variant;
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

/// What is not known comes last, whichever way one sorts.
fn compare(a: &Row, b: &Row, by: Column, ascending: bool) -> Ordering {
    let turned = |order: Ordering| if ascending { order } else { order.reverse() };
    let (a, b) = (&a.entry, &b.entry);
    let number = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => turned(a.total_cmp(&b)),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    match by {
        Column::Name => turned(a.id.cmp(&b.id)),
        Column::State => turned(a.state.cmp(&b.state)),
        Column::Score => number(a.score.or(a.validation), b.score.or(b.validation)),
        Column::Loss => number(a.loss, b.loss),
        Column::Trainable => turned(a.trainable.cmp(&b.trainable)),
        Column::Peak => turned(a.peak_bytes.cmp(&b.peak_bytes)),
        Column::Time => turned(a.secs.total_cmp(&b.secs)),
        Column::Device => turned(a.device.cmp(&b.device)),
        Column::Began => turned(a.began.cmp(&b.began)),
    }
}

#[cfg(test)]
mod tests {
    use graft_engine::runs::SweepMark;

    use super::*;

    fn row(id: &str, score: Option<f64>, sweep: Option<&str>) -> Row {
        let mut row = Row::default();
        row.entry.id = id.to_owned();
        row.entry.score = score;
        row.entry.sweep =
            sweep.map(|sweep| SweepMark { sweep: sweep.to_owned(), variant: "v".to_owned(), place: 0 });
        row
    }

    fn names(lines: &[Line<'_>]) -> Vec<String> {
        let name = |line: &Line<'_>| match line {
            Line::Sweep(name, members) => format!("{name}: {}", members.len()),
            Line::Run(row, _) => row.entry.id.clone(),
        };
        lines.iter().map(name).collect()
    }

    #[test]
    fn sorted_filtered_and_sweeps_together() {
        let mut rows = vec![
            row("a", Some(0.5), None),
            row("b", None, None),
            row("c", Some(0.9), Some("s")),
            row("d", Some(0.1), Some("s")),
        ];
        rows[1].notes.tags = vec!["Odd".to_owned()];
        let mut view = RunsView { sort: Column::Score, ..RunsView::default() };
        assert_eq!(names(&shown(&rows, &view)), ["s: 2", "c", "d", "a", "b"]);
        view.ascending = true;
        assert_eq!(names(&shown(&rows, &view)), ["s: 2", "d", "c", "a", "b"], "unknown last both ways");
        view.filter = "odd".to_owned();
        assert_eq!(names(&shown(&rows, &view)), ["b"], "found by tag");
        view.filter = "s a".to_owned();
        assert!(names(&shown(&rows, &view)).iter().all(|name| name != "b" || name.contains('a')));
    }
}
