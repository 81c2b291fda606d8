//! Statements over many rows, and the values bound to them.
//!
//! sqlx-sqlite passes every statement to a thread and back, which costs more than most rows do: so work is done many
//! rows to a statement. To keep the statements prepared there are only a few sizes of each; a statement is taken one
//! size larger than needed and the surplus rows stay NULL, which every statement here passes over.

use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Executor, SqlStr, Type};
use std::sync::Arc;

/// Rows of a statement's sizes.
const SIZES: [usize; 4] = [1, 8, 64, 256];
/// Rows of the largest statement; more are done in several.
pub(crate) const ROWS_MAX: usize = SIZES[SIZES.len() - 1];

pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";

/// One statement in all its sizes.
pub(crate) struct RowsSql {
    columns: usize,
    sizes: [Arc<str>; SIZES.len()],
    /// The same with a transaction begun before it.
    beginning: [Arc<str>; SIZES.len()],
}

impl RowsSql {
    /// `{rows}` in the template stands for the rows, as they follow VALUES.
    pub(crate) fn new(columns: usize, template: &'static str) -> Self {
        let sizes = SIZES.map(|size| of_size(columns, template, size).into());
        let beginning = SIZES.map(|size| format!("{BEGIN}; {}", of_size(columns, template, size)).into());
        Self { columns, sizes, beginning }
    }

    /// Executes the statement for all items and says how many rows it changed.
    pub(crate) async fn execute<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        items: &[T],
        bind: impl Fn(&mut Values, &T) + Send + Sync,
    ) -> Result<u64, sqlx::Error> {
        let mut changed = 0;
        for chunk in items.chunks(ROWS_MAX) {
            let mut values = Values::for_rows(chunk.len() * self.columns);
            for item in chunk {
                bind(&mut values, item);
            }
            let query = sqlx::query_with(AssertSqlSafe(self.sizes[size_index(chunk.len())].clone()), values.take()?);
            changed += query.execute(&mut *connection).await?.rows_affected();
        }
        Ok(changed)
    }

    /// Asks the statement about all items. `bind` gets each item's index, so that rows can name their item. With
    /// `begin` it begins a transaction in the same go.
    pub(crate) async fn fetch<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        begin: bool,
        items: &[T],
        bind: impl Fn(&mut Values, usize, &T) + Send + Sync,
        mut take: impl FnMut(&SqliteRow) -> Result<(), sqlx::Error> + Send,
    ) -> Result<(), sqlx::Error> {
        for (number, chunk) in items.chunks(ROWS_MAX).enumerate() {
            let sizes = if begin && number == 0 { &self.beginning } else { &self.sizes };
            let mut values = Values::for_rows(chunk.len() * self.columns);
            for (index, item) in chunk.iter().enumerate() {
                bind(&mut values, number * ROWS_MAX + index, item);
            }
            let query = sqlx::query_with(AssertSqlSafe(sizes[size_index(chunk.len())].clone()), values.take()?);
            let mut rows = query.fetch(&mut *connection);
            while let Some(row) = rows.try_next().await? {
                take(&row)?;
            }
        }
        Ok(())
    }
}

/// Several statements that are executed in one go, which costs as much waiting as one.
pub(crate) struct RowsScript<const N: usize> {
    columns: [usize; N],
    sizes: [Arc<str>; SIZES.len()],
    /// The same with a commit after it.
    committing: [Arc<str>; SIZES.len()],
}

impl<const N: usize> RowsScript<N> {
    /// Columns and templates as those of a [`RowsSql`].
    pub(crate) fn new(statements: [(usize, &'static str); N]) -> Self {
        let script = |size| statements.map(|(columns, template)| of_size(columns, template, size)).join("; ");
        let sizes = SIZES.map(|size| script(size).into());
        let committing = SIZES.map(|size| format!("{}; {COMMIT}", script(size)).into());
        Self { columns: statements.map(|(columns, _)| columns), sizes, committing }
    }

    /// Executes the script, whose statements get at most `rows` rows each, at most [`ROWS_MAX`]: `bind` binds those of
    /// the statement with the given number. With `commit` it commits in the same go. Says how many rows were changed in
    /// all.
    pub(crate) async fn execute(
        &self,
        connection: &mut SqliteConnection,
        commit: bool,
        rows: usize,
        bind: impl Fn(&mut Values, usize),
    ) -> Result<u64, sqlx::Error> {
        let index = size_index(rows);
        let mut end = 0;
        let mut values = Values::for_rows(SIZES[index] * self.columns.iter().sum::<usize>());
        for (number, columns) in self.columns.iter().enumerate() {
            bind(&mut values, number);
            end += SIZES[index] * columns;
            values.nulls_until(end);
        }
        let sizes = if commit { &self.committing } else { &self.sizes };
        let query = sqlx::query_with(AssertSqlSafe(sizes[index].clone()), values.take()?);
        let mut results = connection.fetch_many(query);
        let (mut changed, mut done) = (0, 0);
        // One result for each statement, read to the end: the last may be the commit, whose result repeats the one before.
        while let Some(step) = results.try_next().await? {
            if let Some(result) = step.left() {
                changed += if done < N { result.rows_affected() } else { 0 };
                done += 1;
            }
        }
        Ok(changed)
    }
}

fn size_index(rows: usize) -> usize {
    SIZES.iter().position(|&size| size >= rows).unwrap_or(SIZES.len() - 1)
}

fn of_size(columns: usize, template: &str, size: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    template.replace("{rows}", &vec![row.as_str(); size].join(","))
}

/// Values bound to a statement, in order.
pub(crate) struct Values(Result<SqliteArguments, BoxDynError>);

impl Values {
    pub(crate) fn new() -> Self {
        Self(Ok(SqliteArguments::default()))
    }

    fn for_rows(values: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(values, 0);
        Self(Ok(arguments))
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        self.add(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.add(text)
    }

    /// Seqs, times, versions and generations all stay below 2^53, or are counts that no store lives to see overflow.
    pub(crate) fn int(&mut self, number: u64) -> &mut Self {
        self.add(number as i64)
    }

    pub(crate) fn optional_blob(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        self.add(bytes)
    }

    pub(crate) fn optional_text(&mut self, text: Option<&str>) -> &mut Self {
        self.add(text)
    }

    fn nulls_until(&mut self, end: usize) {
        while self.0.as_ref().is_ok_and(|arguments| arguments.len() < end) {
            self.add(None::<i64>);
        }
    }

    fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Ok(arguments) = &mut self.0
            && let Err(error) = arguments.add(value)
        {
            self.0 = Err(error);
        }
        self
    }

    pub(crate) fn take(&mut self) -> Result<SqliteArguments, sqlx::Error> {
        std::mem::replace(&mut self.0, Ok(SqliteArguments::default())).map_err(sqlx::Error::Encode)
    }
}

/// Executes one statement and says how many rows it changed.
pub(crate) async fn execute(
    connection: &mut SqliteConnection,
    sql: &'static str,
    values: &mut Values,
) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query_with(SqlStr::from_static(sql), values.take()?).execute(connection).await?.rows_affected())
}

/// Asks one statement and takes all its rows: a statement that changes and returns rows must run to its end.
pub(crate) async fn fetch(
    connection: &mut SqliteConnection,
    sql: &'static str,
    values: &mut Values,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query_with(SqlStr::from_static(sql), values.take()?).fetch_all(connection).await
}
