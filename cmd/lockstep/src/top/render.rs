//! A picture as text. It knows no terminal.

use super::picture::Picture;

/// The lines of a picture.
pub(super) fn picture(picture: &Picture) -> String {
    let (stats, rates, commits) = (&picture.stats, &picture.per_second, &picture.commits);
    let optional = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), whole);
    let nsqds = stats
        .nsqds
        .map_or_else(|| "-".to_owned(), |nsqds| format!("{} of {}", whole(nsqds.connected), whole(nsqds.configured)));
    let lines = [
        format!("{}   up {}   epoch {}", picture_of_nothing(), duration(stats.uptime_ms), stats.epoch),
        String::new(),
        row(
            "now",
            &[
                ("connections", whole(stats.connections)),
                ("users online", whole(stats.users_online)),
                ("consumers", whole(stats.consumers)),
            ],
        ),
        row(
            "waiting",
            &[
                ("sends", whole(stats.appends_waiting)),
                ("channels", optional(stats.channels_pending)),
                ("teardowns", optional(stats.teardowns_pending)),
            ],
        ),
        row(
            "each second",
            &[
                ("stored", rate(rates.entries_appended)),
                ("delivered", rate(rates.entries_delivered)),
                ("acknowledged", rate(rates.acks)),
            ],
        ),
        row("", &[("frames in", rate(rates.frames_in)), ("frames out", rate(rates.frames_out))]),
        row("", &[("requests", rate(rates.requests)), ("closes", rate(rates.closes))]),
        row(
            "commits",
            &[
                ("a second", rate(rates.commits)),
                ("failed", rate(rates.failed_commits)),
                ("in all", whole(stats.commits.count)),
            ],
        ),
        row("took", &[("p50", time(commits.p50_ms)), ("p90", time(commits.p90_ms)), ("p99", time(commits.p99_ms))]),
        row("nsqds", &[("connected", nsqds)]),
    ];
    lines.map(|line| line.trim_end().to_owned()).join("\n")
}

/// What stands at the top, whatever is known.
pub(super) fn picture_of_nothing() -> &'static str {
    "lockstep top"
}

fn row(name: &str, cells: &[(&str, String)]) -> String {
    let cells: String = cells.iter().map(|(name, value)| format!("{name:<13}{value:>10}    ")).collect();
    format!("{name:<12}  {cells}")
}

/// A number with commas between thousands.
fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: below ten with a decimal.
fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 { format!("{rate:.1}") } else { whole(rate.round() as u64) }
}

fn time(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

/// A duration in its two largest units.
fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_server::admin::{Bucket, CommitTimes, NsqdCount, Stats, Totals};

    fn stats(uptime_ms: u64, factor: u64) -> Stats {
        let bucket = |up_to_ms, count| Bucket { up_to_ms, count };
        Stats {
            at: lockstep_model::UnixMs::ZERO,
            uptime_ms,
            epoch: lockstep_model::Epoch::from_bytes([7; 16]),
            connections: 1_234_567,
            users_online: 900,
            consumers: 0,
            appends_waiting: 3,
            channels_pending: None,
            teardowns_pending: Some(2),
            nsqds: Some(NsqdCount { connected: 1, configured: 2 }),
            totals: Totals {
                entries_appended: 1_000 * factor,
                entries_delivered: 60_000 * factor,
                acks: 3 * factor,
                ..Totals::default()
            },
            commits: CommitTimes::of(vec![bucket(Some(1.0), 10 * factor), bucket(None, 0)]),
        }
    }

    #[test]
    fn a_picture_has_what_happens_now() {
        let shown = picture(&Picture::between(&stats(60_000, 1), &stats(62_000, 2)));
        let expected = "\
lockstep top   up 1 min 2 s   epoch 07070707-0707-0707-0707-070707070707

now           connections   1,234,567    users online        900    consumers             0
waiting       sends                 3    channels              -    teardowns             2
each second   stored              500    delivered        30,000    acknowledged        1.5
              frames in             0    frames out            0
              requests              0    closes                0
commits       a second            5.0    failed                0    in all               20
took          p50              0.5 ms    p90              0.9 ms    p99              1.0 ms
nsqds         connected        1 of 2";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_server_that_was_started_anew_counts_from_its_start() {
        let picture = Picture::between(&stats(60_000, 5), &stats(2_000, 1));
        assert_eq!((picture.per_second.entries_appended, picture.commits.count), (500.0, 10));
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(whole(number), text);
        }
        for (number, text) in [(0.0, "0"), (0.04, "0.0"), (9.9, "9.9"), (9.96, "10"), (1_234.5, "1,235")] {
            assert_eq!(rate(number), text);
        }
        for (ms, text) in [(59_999, "59 s"), (61_000, "1 min 1 s"), (3_660_000, "1 h 1 min"), (90_000_000, "1 d 1 h")] {
            assert_eq!(duration(ms), text);
        }
    }
}
