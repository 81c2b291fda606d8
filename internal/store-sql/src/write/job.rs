//! What the write task executes: calls with the way back to their callers.

use super::work::Work;
use async_trait::async_trait;
use lockstep_ports::StoreError;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why something was not stored; shared by all callers of a transaction.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

/// An operation of which many calls are executed together.
pub(crate) trait Batch: Sized + Send + Sync + 'static {
    /// Its name in errors.
    const OPERATION: &'static str;
    /// What a caller gives.
    type Input: Send + Sync + 'static;
    /// What the execution leaves for a call until the commit.
    type Interim: Send + 'static;
    /// What a caller gets.
    type Output: Send + 'static;

    /// Executes the calls as if one came after the other; what it leaves stands in their order.
    fn run(
        work: &mut Work<'_>,
        inputs: &[&Self::Input],
    ) -> impl Future<Output = Result<Vec<Self::Interim>, sqlx::Error>> + Send;

    /// Executes the parts of one call that failed as a whole. The inner error is the call's; the outer one means that
    /// the transaction is lost.
    fn run_parts(
        _work: &mut Work<'_>,
        _input: &Self::Input,
        failure: sqlx::Error,
    ) -> impl Future<Output = Result<Result<Self::Interim, sqlx::Error>, sqlx::Error>> + Send {
        std::future::ready(Ok(Err(failure)))
    }

    /// The answer, once the commit is on disk.
    fn finish(input: Self::Input, interim: Self::Interim) -> Self::Output;
}

/// An operation of which each call is executed by itself.
pub(crate) trait Command: Sized + Send + Sync + 'static {
    /// Its name in errors.
    const OPERATION: &'static str;
    /// What the caller gets.
    type Output: Send + 'static;

    /// Executes the call.
    fn run(&self, work: &mut Work<'_>) -> impl Future<Output = Result<Self::Output, sqlx::Error>> + Send;
}

impl<C: Command> Batch for C {
    const OPERATION: &'static str = C::OPERATION;
    type Input = C;
    type Interim = C::Output;
    type Output = C::Output;

    async fn run(work: &mut Work<'_>, inputs: &[&C]) -> Result<Vec<C::Output>, sqlx::Error> {
        let mut outputs = Vec::with_capacity(inputs.len());
        for input in inputs {
            outputs.push(C::run(input, work).await?);
        }
        Ok(outputs)
    }

    fn finish(_: C, output: C::Output) -> C::Output {
        output
    }
}

/// One call of an operation.
pub(crate) struct Call<B: Batch> {
    pub(crate) input: B::Input,
    pub(crate) answer: oneshot::Sender<Result<B::Output, StoreError>>,
}

/// Calls of one operation in one transaction.
pub(crate) struct Calls<B: Batch> {
    calls: Vec<Call<B>>,
    /// What the calls left, in their order.
    interims: Vec<Result<B::Interim, Cause>>,
}

impl<B: Batch> Calls<B> {
    pub(crate) fn new(calls: Vec<Call<B>>) -> Self {
        Self { calls, interims: Vec::new() }
    }
}

/// Something that the write task executes.
#[async_trait]
pub(crate) trait Job: Send {
    /// Executes everything at once. An error means that the transaction must be rolled back.
    async fn run(&mut self, work: &mut Work<'_>) -> Result<(), sqlx::Error>;

    /// Executes everything anew, so that only what is at fault fails. An error means that the transaction is lost.
    async fn run_carefully(&mut self, work: &mut Work<'_>) -> Result<(), sqlx::Error>;

    /// Answers all callers: the transaction was committed, or failed.
    fn answer(self: Box<Self>, transaction: Result<(), Cause>);
}

#[async_trait]
impl<B: Batch> Job for Calls<B> {
    async fn run(&mut self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        let inputs: Vec<&B::Input> = self.calls.iter().map(|call| &call.input).collect();
        self.interims = B::run(work, &inputs).await?.into_iter().map(Ok).collect();
        Ok(())
    }

    async fn run_carefully(&mut self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        self.interims.clear();
        for call in &self.calls {
            let savepoint = work.savepoint().await?;
            let whole = B::run(work, &[&call.input]).await.map(|mut interims| interims.pop());
            let interim = match work.end_savepoint(savepoint, whole).await? {
                Ok(Some(interim)) => Ok(interim),
                Ok(None) => Err(sqlx::Error::RowNotFound),
                Err(failure) => B::run_parts(work, &call.input, failure).await?,
            };
            self.interims.push(interim.map_err(|error| Arc::new(error) as Cause));
        }
        Ok(())
    }

    fn answer(self: Box<Self>, transaction: Result<(), Cause>) {
        let failed = |cause| Err(StoreError::Write { operation: B::OPERATION, cause });
        let mut interims = self.interims.into_iter();
        for call in self.calls {
            let answer = match (&transaction, interims.next()) {
                (Ok(()), Some(Ok(interim))) => Ok(B::finish(call.input, interim)),
                (Ok(()), Some(Err(cause))) => failed(cause),
                (Err(cause), _) => failed(cause.clone()),
                (Ok(()), None) => failed(Arc::new(sqlx::Error::RowNotFound)),
            };
            // A caller that is gone does not want to know.
            let _ = call.answer.send(answer);
        }
    }
}
