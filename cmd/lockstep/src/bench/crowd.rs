//! All devices of a run: they come, get their orders, leave, and none may fail unnoticed.

use super::device::{Device, Door, Handler, Order};
use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Connected devices.
pub(super) struct Crowd<H> {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    tasks: JoinSet<Result<Device<H>>>,
}

impl<H: Handler> Crowd<H> {
    /// Lets devices connect. Their orders go by their place here.
    pub(super) fn come(devices: impl IntoIterator<Item = Device<H>>, door: &Door) -> Self {
        let mut crowd = Self { orders: Vec::new(), tasks: JoinSet::new() };
        crowd.join(devices, door);
        crowd
    }

    /// Lets more connect.
    pub(super) fn join(&mut self, devices: impl IntoIterator<Item = Device<H>>, door: &Door) {
        for device in devices {
            let (order, orders) = mpsc::unbounded_channel();
            self.orders.push(order);
            self.tasks.spawn(device.run(door.clone(), orders));
        }
    }

    /// Who can give orders to one of them.
    pub(super) fn commander(&self, place: usize) -> mpsc::UnboundedSender<Order> {
        self.orders[place].clone()
    }

    pub(super) fn go(&self) {
        for orders in &self.orders {
            // A device that is gone has failed, which `during` tells.
            let _gone = orders.send(Order::Go);
        }
    }

    /// Does something while all devices live. Fails if one does not.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = work => outcome,
            Some(ended) = self.tasks.join_next() => match ended.context("a device broke off")? {
                Ok(device) => bail!("device {} left by itself", device.index),
                Err(error) => Err(error),
            },
        }
    }

    /// All drop their sockets at once.
    pub(super) async fn leave(mut self) -> Result<Vec<Device<H>>> {
        self.orders.clear();
        let mut devices = Vec::with_capacity(self.tasks.len());
        while let Some(left) = self.tasks.join_next().await {
            devices.push(left.context("a device broke off")??);
        }
        devices.sort_unstable_by_key(|device| device.index);
        Ok(devices)
    }
}

/// Waits until a gate has got so many permits in all.
pub(super) async fn passed(gate: &Arc<Semaphore>, count: usize, patience: Duration, what: &str) -> Result<()> {
    let waiting = gate.acquire_many(u32::try_from(count).context("too many devices")?);
    match tokio::time::timeout(patience, waiting).await {
        Ok(passed) => {
            // They stay: the next who waits counts them too.
            drop(passed?);
            Ok(())
        }
        Err(_) => bail!(
            "{} of {count} devices are not {what} after {} s",
            count.saturating_sub(gate.available_permits()),
            patience.as_secs()
        ),
    }
}
