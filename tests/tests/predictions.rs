//! What the planner says of a step's bytes is what the allocator sees. One test alone in its process: the counters
//! count every thread.

use graft_engine::bench::{predict, summary};
use graft_engine::memory::Counting;
use graft_engine::plan::Calibration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn peaks_of_random_stages_are_as_predicted() {
    {
        let rows = predict(1, 3, 0, &Calibration::default(), &mut |_| {});
        let rows = rows.unwrap_or_else(|error| panic!("a step failed: {error}"));
        assert_eq!(rows.len(), 3 * 4 * 3, "three placements of four models at three sizes");
        for row in &rows {
            let worst = row.misses.first().map(|miss| miss.at.clone());
            let error = row.peak.error();
            // What is small next to the buffers that every process has is not held to a share.
            let boundary = row.boundary.predicted - row.boundary.measured;
            let most = f64::max(0.06 * row.boundary.measured, f64::from(1 << 18));
            assert!(
                boundary.abs() < most,
                "{} {}: off by {boundary} bytes between walks",
                row.model,
                row.title
            );
            assert!(error.abs() < 0.12, "{} {} {}: {error} at {worst:?}", row.model, row.batch, row.title);
        }
        let found = summary(&rows);
        assert!(found.peak_error_95 < 0.06, "{found:?}");
    }
}
