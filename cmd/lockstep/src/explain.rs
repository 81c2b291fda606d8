//! `lockstep explain`: the answer as a person reads it.

use crate::admin;
use crate::cli::ExplainArgs;
use anyhow::{Context, Result};
use lockstep_model::{Explanation, LiveTopic, Stage, TopicMode, TopicState, Utc};
use std::fmt::Write as _;
use std::io::Write as _;

/// `lockstep explain`.
///
/// # Errors
///
/// If no server runs there, or it refuses.
pub(crate) async fn run(args: ExplainArgs) -> Result<()> {
    let data = args.place.data_folder()?;
    let explanation = admin::explain(&data, admin::client(&data).explain(&args.device, &args.message).await)?;
    let text = if args.json { serde_json::to_string_pretty(&explanation)? + "\n" } else { text(&explanation) };
    std::io::stdout().lock().write_all(text.as_bytes()).context("the answer cannot be written")
}

/// The verdict first, then what it is made of, then what happened, one line each.
fn text(explanation: &Explanation) -> String {
    let Explanation {
        device, user, conversation, seq, id, kind, verdict, sentence, stages, cursor, connection, ..
    } = explanation;
    let mut text = format!("{}: {sentence}\n", verdict.as_str());
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<11} {value}\n"));
    line("device", format!("{device} of {user}"));
    if let (Some(conversation), Some(seq)) = (conversation, seq) {
        line("message", format!("{conversation}:{seq}"));
    }
    if let (Some(id), Some(kind)) = (id, kind) {
        line("entry", format!("{id}, {}", kind.as_str()));
    }
    if let Some(cursor) = cursor {
        line("cursor", cursor.to_string());
    }
    if let Some(connection) = connection {
        line("connection", connected(connection));
    }
    for stage in stages {
        text.push_str(&happened(stage));
    }
    if let Some(since) = explanation.traced_since {
        text.push_str(&format!("  the trace reaches back to {}\n", Utc(since)));
    }
    text
}

fn connected(connection: &LiveTopic) -> String {
    let LiveTopic { generation, topic: TopicState { mode, next, acked, in_flight } } = connection;
    let mode = match mode {
        TopicMode::Opening => "is being let in",
        TopicMode::NotFollowed => "does not follow the conversation",
        TopicMode::Live => "live",
        TopicMode::Reading => "in log mode, reading",
        TopicMode::WindowFull => "in log mode, waiting for acknowledgements",
        TopicMode::Ended => "the stay is over",
    };
    format!("{generation}: {mode}; next {next}, acknowledged {acked}, {in_flight} in flight")
}

fn happened(stage: &Stage) -> String {
    let Stage { stage: name, at, generation, from, to } = stage;
    let mut text = format!("  {}  {}", Utc(*at), name.as_str());
    let _never_fails = match (from, to) {
        (Some(from), Some(to)) if from == to => write!(text, " {from}"),
        (Some(from), Some(to)) => write!(text, " {from} to {to}"),
        (None, Some(to)) => write!(text, " up to {to}"),
        _ => Ok(()),
    };
    if let Some(generation) = generation {
        let _never_fails = write!(text, " (connection {generation})");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_from_the_top() {
        let id = "0190c2a0-0000-7000-8000-000000000001";
        let json = serde_json::json!({
            "device": id, "user": "ana", "conversation": id, "seq": 7, "id": id, "kind": "message",
            "verdict": "in_flight", "sentence": "It is on its way.", "cursor": 5, "traced_since": 0,
            "connection": {"generation": 2, "mode": "live", "next": 8, "acked": 5, "in_flight": 2},
            "stages": [
                {"stage": "committed", "at": 1},
                {"stage": "published", "at": 2, "from": 7, "to": 7},
                {"stage": "delivered", "at": 3, "generation": 2, "from": 6, "to": 7},
                {"stage": "acknowledged", "at": 4, "generation": 2, "to": 7},
            ],
        });
        let explanation: Explanation = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&explanation).unwrap(), json);
        let expected = format!(
            "in_flight: It is on its way.\n  device      {id} of ana\n  message     {id}:7\n  entry       {id}, message\n  \
             cursor      5\n  connection  2: live; next 8, acknowledged 5, 2 in flight\n  \
             1970-01-01T00:00:00.001Z  committed\n  1970-01-01T00:00:00.002Z  published 7\n  \
             1970-01-01T00:00:00.003Z  delivered 6 to 7 (connection 2)\n  \
             1970-01-01T00:00:00.004Z  acknowledged up to 7 (connection 2)\n  \
             the trace reaches back to 1970-01-01T00:00:00.000Z\n"
        );
        assert_eq!(text(&explanation), expected);
    }
}
