//! What goes wrong, and when.

use crate::crowd::Crowd;
use crate::raw::Crashes;
use crate::run::{MESSAGES_PER_KILL, PATIENCE};
use anyhow::{Context, Result};
use lockstep_testkit::Dice;

const CUTS_PER_KILL: usize = 6;
const REPLACEMENTS_PER_KILL: usize = 3;
/// An nsqd stays away for less than so many messages.
const NSQD_AWAY_MAX: usize = 60;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// The server is killed and started anew.
    Crash,
    /// This nsqd is killed.
    NsqdCrash(usize),
    /// It is started anew.
    NsqdReturn(usize),
    /// The connection of this device is cut.
    Cut(usize),
    /// This device starts anew, while the server still believes in its old connection.
    Replace(usize),
}

/// Which trouble comes after so many acknowledged messages, the first one first.
pub(crate) struct Plan {
    troubles: Vec<(usize, Trouble)>,
    pub(crate) replacements: usize,
}

impl Plan {
    /// So many kills, of the server alone, or of it and of these nsqds in turn.
    pub(crate) fn make(dice: &mut Dice, kills: usize, devices: usize, nsqds: usize) -> Self {
        // The last tenth of the messages is left to recover in.
        let stretch = MESSAGES_PER_KILL * 9 / 10;
        let span = kills * stretch;
        let mut troubles = Vec::new();
        for kill in 0..kills {
            // One in each stretch, so that not all fall together.
            let after = kill * stretch + dice.below(stretch);
            if nsqds == 0 || kill % 2 == 0 {
                troubles.push((after, Trouble::Crash));
            } else {
                let nsqd = dice.below(nsqds);
                troubles.push((after, Trouble::NsqdCrash(nsqd)));
                troubles.push((after + dice.below(NSQD_AWAY_MAX), Trouble::NsqdReturn(nsqd)));
            }
        }
        for _ in 0..kills * CUTS_PER_KILL {
            troubles.push((dice.below(span), Trouble::Cut(dice.below(devices))));
        }
        let replacements = kills * REPLACEMENTS_PER_KILL;
        for _ in 0..replacements {
            troubles.push((dice.below(span), Trouble::Replace(dice.below(devices))));
        }
        // Of those after the same message, in the order in which they stand: an nsqd goes before it returns.
        troubles.sort_by_key(|(after, _)| *after);
        Self { troubles, replacements }
    }

    /// Lets the troubles come.
    pub(crate) async fn stir(&self, crowd: &mut Crowd, crashes: &Crashes) -> Result<()> {
        let record = crowd.record.clone();
        for (after, trouble) in &self.troubles {
            let what = format!("{after} messages are acknowledged");
            record.until(&what, PATIENCE, |history| history.acknowledged_count() >= *after).await?;
            let nsqds = crowd.nsqds.as_mut();
            match *trouble {
                Trouble::Crash => crowd.server.restart().await?,
                Trouble::NsqdCrash(nsqd) => nsqds.context("there are nsqds")?.nsqd_mut(nsqd).kill(),
                Trouble::NsqdReturn(nsqd) => {
                    nsqds.context("there are nsqds")?.nsqd_mut(nsqd).restart()?;
                    crashes.add(nsqd);
                }
                Trouble::Cut(device) => crowd.participants[device].cut(),
                Trouble::Replace(device) => {
                    let server = crowd.server.address();
                    crowd.participants[device].replace(server).await?;
                }
            }
        }
        Ok(())
    }
}
