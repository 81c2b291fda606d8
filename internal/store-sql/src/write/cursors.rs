//! Cursors: raised in batches; lowered only where a device shows that it has less.

use super::job::{Batch, Command};
use super::work::Work;
use crate::sql::{RowsSql, Values};
use lockstep_ports::CursorRow;
use std::sync::LazyLock;

/// [`store_cursors`](lockstep_ports::Directory::store_cursors).
pub(crate) struct Cursors;

static RAISE: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "INSERT INTO cursors (device, conversation, seq) \
         SELECT v.column1, v.column2, v.column3 FROM (VALUES {rows}) AS v \
         CROSS JOIN devices d ON d.id = v.column1 WHERE d.removed_at IS NULL \
         ON CONFLICT (device, conversation) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > cursors.seq",
    )
});

impl Batch for Cursors {
    const OPERATION: &'static str = "store_cursors";
    type Input = Vec<CursorRow>;
    type Interim = ();
    type Output = ();

    async fn run(work: &mut Work<'_>, inputs: &[&Vec<CursorRow>]) -> Result<Vec<()>, sqlx::Error> {
        let mut rows: Vec<&CursorRow> = inputs.iter().flat_map(|batch| batch.iter()).collect();
        rows.sort_unstable_by_key(|row| (row.device, row.conversation));
        work.tally.cursor_rows +=
            RAISE.execute(work.connection().await?, &rows, |values, row| bind_row(values, row)).await?;
        Ok(vec![(); inputs.len()])
    }

    fn finish(_: Vec<CursorRow>, (): ()) {}
}

/// [`lower_cursors`](lockstep_ports::Directory::lower_cursors).
pub(crate) struct LowerCursors(pub(crate) Vec<CursorRow>);

static LOWER: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "UPDATE cursors SET seq = v.column3 FROM (VALUES {rows}) AS v \
         WHERE cursors.device = v.column1 AND cursors.conversation = v.column2 AND v.column3 < cursors.seq",
    )
});

impl Command for LowerCursors {
    const OPERATION: &'static str = "lower_cursors";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        work.tally.cursor_rows += LOWER.execute(work.connection().await?, &self.0, bind_row).await?;
        Ok(())
    }
}

fn bind_row(values: &mut Values, row: &CursorRow) {
    values.blob(row.device.as_bytes()).blob(row.conversation.as_bytes()).int(row.seq.get());
}
